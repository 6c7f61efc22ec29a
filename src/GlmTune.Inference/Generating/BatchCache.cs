using System.Runtime.InteropServices;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;

namespace GlmTune.Inference;

/// <summary>The cache of a batch: blocks for the tokens of each row, allocated as rows grow, and shared by rows that
/// start with the same tokens.</summary>
/// <remarks>Blocks of finished rows are known until their memory is needed. Not thread-safe.</remarks>
internal sealed class BatchCache(ICausalLm model, GenerationLimits limits) : IDisposable
{
    // Slots that a small batch begins with, and tokens of an answer for which tables and first blocks are made at once.
    private const int FirstSlots = 16;
    private const int MaxAhead = 2048;

    // Blocks that a row takes beyond what it needs while there are plenty: its table changes less often.
    private const int BlocksAhead = 3;
    private const int PlentyPerSlot = 8;

    private readonly Dictionary<string, Prefix> prefixes = [];
    private readonly PriorityQueue<int, int> freeSlots = new(); // The lowest first.
    private BlockStore store = new(limits.KeepsAnswers);
    private KvCache? cache;
    private long? bytesPerBlock;

    // The prefix of rows with an adapter: the chain that they are on, and the blocks of its virtual tokens.
    private sealed record Prefix(ServedAdapter? Adapter, long Chain, int[] Blocks);

    /// <summary>The cache; there is one after <see cref="MakeRoom"/>.</summary>
    public KvCache Memory => cache!;

    /// <summary>Number of blocks in use; 0 without rows and prefixes.</summary>
    public int UsedBlocks => store.Used;

    /// <summary>Number of blocks without users whose tokens are still known.</summary>
    public int KeptBlocks => store.Available - store.Free;

    /// <summary>Number of blocks that hold nothing, including those that the cache may still grow by.</summary>
    public int FreeBlocks => (int)Math.Max(0, MaxBlocks - 1 - UsedBlocks - KeptBlocks);

    /// <summary>Number of blocks that prefixes of adapters occupy.</summary>
    public int PrefixBlocks => prefixes.Values.Sum(prefix => prefix.Blocks.Length);

    /// <summary>Frees the prefixes of adapters that are no longer loaded. No later row finds what their rows
    /// left.</summary>
    public void ForgetUnloaded()
    {
        foreach (var (name, prefix) in prefixes.Where(pair => pair.Value.Adapter is { IsLoaded: false }).ToList())
        {
            Array.ForEach(prefix.Blocks, store.Release);
            prefixes.Remove(name);
        }
    }

    /// <summary>Makes tables for all rows of a batch, and the first blocks.</summary>
    public void MakeRoom(IReadOnlyCollection<GenerationRow> rows)
    {
        var capacity = cache?.Capacity ?? 0;
        var needed = rows.Max(row => WholeTokens(row));
        if (needed > capacity)
        {
            capacity = (int)
                Math.Min(
                    Math.Max((uint)needed, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)needed)),
                    Math.Max(needed, model.Config.MaxPositions + model.MaxVirtualTokens)
                );
        }

        var slots = cache?.Slots ?? Math.Min(FirstSlots, limits.Slots);
        while (slots < rows.Count)
        {
            slots = (int)Math.Min(2L * slots, Math.Max(limits.Slots, rows.Count));
        }

        if (cache is null)
        {
            var whole = 1 + rows.Sum(row => (long)CachedBlocks.For(WholeTokens(row))) + PrefixRoom(rows);
            var least = 1 + rows.Min(row => CachedBlocks.For(Virtual(row) + row.Tokens.Count)) + PrefixRoom(rows);
            var blocks = (int)Math.Max(limits.ReservesCache ? MaxBlocks : Math.Min(whole, MaxBlocks), least);
            cache = model.NewCache(blocks, slots, capacity);
            store.Grow(blocks);
            AddSlots(0);
        }
        else if (slots > cache.Slots || capacity > cache.Capacity)
        {
            var before = cache.Slots;
            cache.Resize(cache.Blocks, slots, capacity);
            AddSlots(before);
        }
    }

    /// <summary>Whether there is memory for the tokens of a row beside those of others, and for another block of
    /// each.</summary>
    public bool CanHold(GenerationRow row, IEnumerable<GenerationRow> others)
    {
        var available = cache is null ? MaxBlocks - 1 : store.Available + Math.Max(0, MaxBlocks - cache.Blocks);
        return others.Append(row).Sum(each => (long)Math.Max(1, Missing(each, each.Tokens.Count + 1))) <= available;
    }

    /// <summary>Gives a row a slot with what is known of its tokens.</summary>
    /// <returns>False: there is no memory for its prefix, and nothing has changed.</returns>
    public bool TryEnter(GenerationRow row)
    {
        if (FindPrefix(row.Adapter) is not { } prefix)
        {
            return false;
        }

        var (place, virtualTokens) = (row.Place, Virtual(row));
        var whole = virtualTokens / CachedBlocks.Tokens;
        place.Slot = freeSlots.Dequeue();
        (place.Chain, place.Known) = (prefix.Chain, whole);
        foreach (var block in prefix.Blocks.Take(whole))
        {
            store.Share(block);
            Append(place, block);
        }

        TakeKnown(row);
        if (place.Blocks.Count == whole && prefix.Blocks.Length > whole)
        {
            // The prefix ends within a block, which each row fills up with its own tokens.
            if (!MakeFree(1))
            {
                Leave(row);
                return false;
            }

            var own = store.Take();
            cache!.Copy([(prefix.Blocks[whole], own)]);
            Append(place, own);
        }

        return true;
    }

    /// <summary>Takes over blocks that others have filled with a row's next tokens. At least one token remains to be
    /// processed, because it gives the logits.</summary>
    public void TakeKnown(GenerationRow row)
    {
        var (place, virtualTokens) = (row.Place, Virtual(row));
        while (true)
        {
            var first = (place.Known * CachedBlocks.Tokens) - virtualTokens;
            if (
                row.Cached > Math.Max(0, first)
                || first + CachedBlocks.Tokens > row.Tokens.Count - 1
                || !store.TryFind(place.Chain, TokensOf(row, place.Known), out var block, out var next)
            )
            {
                return;
            }

            store.Share(block);
            if (place.Known < place.Blocks.Count)
            {
                store.Release(place.Blocks[place.Known]);
                place.Blocks[place.Known] = block;
                cache!.SetBlock(place.Slot, place.Known, block);
            }
            else
            {
                Append(place, block);
            }

            (place.Chain, place.Known) = (next, place.Known + 1);
            row.TakeOver(first + CachedBlocks.Tokens);
        }
    }

    /// <summary>The most of a row's next tokens, up to a number of them, that end with a block.</summary>
    public int UpToWholeBlock(GenerationRow row, int count) =>
        Math.Max(0, count - ((Virtual(row) + row.Cached + count) % CachedBlocks.Tokens));

    /// <summary>Gives a row blocks for its first tokens.</summary>
    /// <param name="row">The row, which has a slot.</param>
    /// <param name="tokens">Number of tokens, without virtual ones.</param>
    /// <param name="force">Whether the limit does not count, because no other row could go.</param>
    /// <returns>False: there is no memory for them, and nothing has changed.</returns>
    public bool TryReserve(GenerationRow row, int tokens, bool force = false)
    {
        var (place, virtualTokens) = (row.Place, Virtual(row));
        var needed = Missing(row, tokens);
        if (needed <= 0)
        {
            return true;
        }

        if (!MakeFree(needed, force))
        {
            return false;
        }

        if (virtualTokens + tokens > cache!.Capacity)
        {
            cache.Resize(cache.Blocks, cache.Slots, Math.Max(virtualTokens + tokens, 2 * cache.Capacity));
        }

        if (store.Free >= needed + BlocksAhead + (PlentyPerSlot * cache.Slots))
        {
            var most = Math.Min(CachedBlocks.For(virtualTokens + row.MaxLength), cache.EntriesPerSlot);
            needed = Math.Clamp(most - place.Blocks.Count, needed, needed + BlocksAhead);
        }

        for (; needed > 0; needed--)
        {
            Append(place, store.Take());
        }

        return true;
    }

    /// <summary>Records the blocks that a row has filled, for others that start alike.</summary>
    public void Record(GenerationRow row)
    {
        var (place, cached) = (row.Place, Virtual(row) + row.Cached);
        while ((place.Known + 1) * CachedBlocks.Tokens <= cached)
        {
            place.Chain = store.Record(place.Blocks[place.Known], place.Chain, TokensOf(row, place.Known));
            place.Known++;
        }
    }

    /// <summary>Gives rows the tokens of others that are equal to them: full blocks are shared, and the last one is
    /// copied.</summary>
    /// <param name="pairs">Rows, each with the row that was processed.</param>
    /// <returns>The rows for which there was memory.</returns>
    public List<GenerationRow> Share(IEnumerable<(GenerationRow Row, GenerationRow Processed)> pairs)
    {
        List<GenerationRow> done = [];
        List<(int From, int To)> copies = [];
        foreach (var (row, processed) in pairs)
        {
            var (place, from, tokens) = (row.Place, processed.Place, Virtual(row) + row.Tokens.Count);
            var full = tokens / CachedBlocks.Tokens;
            var rest = tokens % CachedBlocks.Tokens > 0;
            if (rest && !MakeFree(1))
            {
                continue;
            }

            foreach (var block in from.Blocks.Take(full))
            {
                store.Share(block);
            }

            var last = rest ? store.Take() : 0;
            ReleaseBlocks(place);
            from.Blocks.Take(full).ToList().ForEach(block => Append(place, block));
            if (rest)
            {
                copies.Add((from.Blocks[full], last));
                Append(place, last);
            }

            (place.Chain, place.Known) = (from.Chain, Math.Min(from.Known, full));
            row.TakeOver(row.Tokens.Count);
            done.Add(row);
        }

        cache!.Copy(copies);
        return done;
    }

    /// <summary>Takes a row's slot and blocks away. What others can use of them stays known.</summary>
    public void Leave(GenerationRow row)
    {
        var place = row.Place;
        if (place.Slot < 0)
        {
            return;
        }

        ReleaseBlocks(place);
        freeSlots.Enqueue(place.Slot, place.Slot);
        row.Leave();
    }

    /// <summary>Frees the cache; nothing is known any more. Rows that were in it must have left, or are
    /// forgotten.</summary>
    public void Dispose()
    {
        prefixes.Clear();
        freeSlots.Clear();
        store = new(limits.KeepsAnswers);
        cache?.Dispose();
        cache = null;
    }

    private long MaxBlocks =>
        1 + (limits.CacheBytes / (bytesPerBlock ??= Math.Max(1, model.CachedTokenBytes * CachedBlocks.Tokens)));

    private int Virtual(GenerationRow row) => model.VirtualTokensOf(row.Adapter);

    private int Missing(GenerationRow row, int tokens) =>
        CachedBlocks.For(Virtual(row) + tokens) - row.Place.Blocks.Count;

    private int WholeTokens(GenerationRow row) =>
        Virtual(row) + Math.Max(row.Tokens.Count, Math.Min(row.MaxLength, row.Tokens.Count + MaxAhead));

    private int PrefixRoom(IEnumerable<GenerationRow> rows) =>
        rows.Select(row => row.Adapter).Distinct().Sum(adapter => CachedBlocks.For(model.VirtualTokensOf(adapter)));

    private void AddSlots(int from)
    {
        for (var slot = from; slot < cache!.Slots; slot++)
        {
            freeSlots.Enqueue(slot, slot);
        }
    }

    private void Append(RowBlocks place, int block)
    {
        cache!.SetBlock(place.Slot, place.Blocks.Count, block);
        place.Blocks.Add(block);
    }

    private void ReleaseBlocks(RowBlocks place)
    {
        foreach (var block in place.Blocks.AsEnumerable().Reverse())
        {
            store.Release(block);
        }

        place.Blocks.Clear();
    }

    // Room for blocks: more memory while the limit allows, then blocks that nobody uses.
    private bool MakeFree(int count, bool force = false)
    {
        if (store.Free >= count)
        {
            return true;
        }

        var most = force ? Math.Max(MaxBlocks, cache!.Blocks + count - store.Available) : MaxBlocks;
        if (cache!.Blocks < most && (limits.KeepsAnswers || store.Available < count))
        {
            var blocks = (int)Math.Min(most, Math.Max(cache.Blocks + count, 2L * cache.Blocks));
            cache.Resize(blocks, cache.Slots, cache.Capacity);
            store.Grow(blocks);
        }

        return store.Available >= count;
    }

    private Prefix? FindPrefix(ServedAdapter? adapter)
    {
        var name = adapter?.Name ?? "";
        if (prefixes.TryGetValue(name, out var known))
        {
            return known;
        }

        var count = CachedBlocks.For(model.VirtualTokensOf(adapter));
        if (!MakeFree(count))
        {
            return null;
        }

        int[] blocks = [.. Enumerable.Range(0, count).Select(_ => store.Take())];
        if (count > 0)
        {
            model.WritePrefix(cache!, blocks, adapter);
        }

        return prefixes[name] = new Prefix(adapter, store.NewChain(), blocks);
    }

    // Tokens of a row's block; −1 for virtual ones.
    private int[] TokensOf(GenerationRow row, int index)
    {
        var tokens = new int[CachedBlocks.Tokens];
        var first = (index * CachedBlocks.Tokens) - Virtual(row);
        var before = Math.Max(0, -first);
        Array.Fill(tokens, -1, 0, before);
        CollectionsMarshal
            .AsSpan(row.Tokens)
            .Slice(first + before, CachedBlocks.Tokens - before)
            .CopyTo(tokens.AsSpan(before));
        return tokens;
    }
}
