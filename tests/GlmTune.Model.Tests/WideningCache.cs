using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;

namespace GlmTune.Model.Tests;

/// <summary>Room in a cache in which each slot has its blocks for itself.</summary>
internal static class WideningCache
{
    /// <summary>Gives each slot more blocks; its tokens stay.</summary>
    public static void Widen(this KvCache cache, int capacity)
    {
        var (before, blocks) = (cache.EntriesPerSlot, cache.Blocks);
        var more = CachedBlocks.For(capacity) - before;
        cache.Resize(blocks + (cache.Slots * more), cache.Slots, capacity);
        for (var slot = 0; slot < cache.Slots; slot++)
        {
            for (var index = 0; index < more; index++)
            {
                cache.SetBlock(slot, before + index, blocks + (slot * more) + index);
            }
        }
    }
}
