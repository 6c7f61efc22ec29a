using System.Runtime.InteropServices;
using GlmTune.Model;
using GlmTune.Model.Layers;

namespace GlmTune.Inference;

/// <summary>The cache of a batch: a slot for each row, and the slots of finished rows as long as there is
/// room.</summary>
/// <remarks>It reserves room for complete answers if the limit allows, and grows with its longest row. A row that
/// starts with the same tokens as another takes over its keys and values. Not thread-safe.</remarks>
internal sealed class BatchCache(ICausalLm model, GenerationLimits limits) : IDisposable
{
    /// <summary>Tokens that are worth copying; fewer are processed faster than copied layer by layer.</summary>
    public const int WorthCopying = 16;

    private const int CapacityStep = 64;

    // Tokens reserved ahead of each row; memory for a longer answer is allocated when needed.
    private const int MaxAhead = 2048;

    // Finished rows whose slots are still intact; the least recently used first.
    private readonly List<GenerationRow> kept = [];
    private KvCache? cache;
    private long? bytesPerToken;

    /// <summary>The cache; there is one after <see cref="MakeRoom"/>.</summary>
    public KvCache Memory => cache!;

    /// <summary>Whether slots of finished rows are kept.</summary>
    public bool HasKept => kept.Count > 0;

    /// <summary>Keeps the slot of a row that has finished.</summary>
    public void Keep(GenerationRow row)
    {
        if (row.Cached > 0 && limits.KeptAnswers > 0)
        {
            kept.Add(row);
            kept.RemoveRange(0, Math.Max(0, kept.Count - limits.KeptAnswers));
        }
    }

    /// <summary>Forgets slots that were filled with adapters that are no longer loaded.</summary>
    public void ForgetUnloaded() => kept.RemoveAll(row => row.Adapter is { IsLoaded: false });

    /// <summary>Whether a slot for each row, with room for all its tokens, is within the limit.</summary>
    public bool Fits(IReadOnlyCollection<GenerationRow> rows) =>
        Bytes(rows.Count, CapacityFor(rows)) <= limits.CacheBytes;

    /// <summary>Gives each row a slot with room for all its tokens. Where the limit allows no such cache, the rows that
    /// entered last are taken off the list.</summary>
    /// <param name="active">Rows of the batch, in order of entry.</param>
    /// <param name="evict">Called for each row that was taken off.</param>
    public void MakeRoom(List<GenerationRow> active, Action<GenerationRow> evict)
    {
        var have = cache is null ? 0 : cache.Capacity - model.MaxVirtualTokens;
        var needed = CapacityFor(active);
        while (active.Count > 1 && needed > have && Bytes(active.Count, needed) > limits.CacheBytes)
        {
            var last = active[^1];
            active.RemoveAt(active.Count - 1);
            last.Leave();
            evict(last);
            needed = CapacityFor(active);
        }

        var reuse = active.Where(row => row.Slot < 0).ToDictionary(row => row, row => FindReuse(row, active));
        foreach (var (row, (source, count)) in reuse)
        {
            if (source is not null && kept.Contains(source) && count * 2 >= source.Cached)
            {
                kept.Remove(source);
                row.Enter(source.Slot, count);
            }
        }

        while (kept.Count > 0 && Bytes(active.Count + kept.Count, Math.Max(needed, have)) > limits.CacheBytes)
        {
            kept.RemoveAt(0);
        }

        if (cache is null || needed > have || active.Count + kept.Count > cache.Slots)
        {
            Resize(active, needed, have);
        }

        var free = new Queue<int>(
            Enumerable.Range(0, cache!.Slots).Except(active.Concat(kept).Select(row => row.Slot))
        );
        foreach (var row in active.Where(row => row.Slot < 0))
        {
            var (slot, (source, count)) = (free.Dequeue(), reuse[row]);
            // Otherwise it takes over all of the other's tokens.
            var isRead = !active.TakeWhile(other => other != row).Any(row.IsAlike);
            if (
                isRead
                && source is not null
                && count >= WorthCopying
                && (kept.Contains(source) || active.Contains(source))
            )
            {
                cache.CopyStart(source.Slot, slot, model.VirtualTokensOf(row.Adapter) + count);
                row.Enter(slot, count);
            }
            else
            {
                model.StartSlot(cache, slot, row.Adapter);
                row.Enter(slot, 0);
            }
        }
    }

    // Room for whole answers and for more rows where the limit allows, so that little is copied and captured passes
    // hold for long.
    private void Resize(List<GenerationRow> active, int needed, int have)
    {
        var whole = Math.Max(needed, RoundUp(active.Max(row => Math.Min(row.MaxLength, row.Tokens.Count + MaxAhead))));
        var roomy = needed > have ? Math.Max(needed, Math.Min(whole, RoundUp(have + (have / 2)))) : have;
        var count = active.Count + kept.Count;
        var slots = 1;
        while (slots < count)
        {
            slots *= 2;
        }

        slots = Math.Max(count, Math.Min(slots, limits.Slots));
        (int Slots, int Capacity)[] choices =
        [
            (slots, Math.Max(whole, have)),
            (count, Math.Max(whole, have)),
            (count, roomy),
            (count, needed),
        ];
        var (newSlots, capacity) = choices.FirstOrDefault(
            choice => Bytes(choice.Slots, choice.Capacity) <= limits.CacheBytes,
            choices[^1]
        );
        if (cache is null)
        {
            cache = model.NewCache(newSlots, capacity);
            return;
        }

        GenerationRow[] holding = [.. active.Where(row => row.Slot >= 0), .. kept];
        cache.Rearrange(
            [.. holding.Select(row => row.Slot), .. Enumerable.Repeat(0, newSlots - holding.Length)],
            capacity + model.MaxVirtualTokens
        );
        foreach (var (slot, row) in holding.Index())
        {
            row.Slot = slot;
        }
    }

    // The row whose slot starts with the most tokens in common with this row, and how many; at least one token remains
    // to be processed, because it gives the logits.
    private (GenerationRow? Source, int Count) FindReuse(GenerationRow row, List<GenerationRow> active)
    {
        var source = kept.Concat(active.Where(other => other.Slot >= 0))
            .Where(other => other.Adapter == row.Adapter)
            .MaxBy(Common);
        if (source is not null && kept.Remove(source))
        {
            kept.Add(source); // Just used.
        }

        return (source, source is null ? 0 : Common(source));

        int Common(GenerationRow other) =>
            CollectionsMarshal
                .AsSpan(row.Tokens)[..^1]
                .CommonPrefixLength(CollectionsMarshal.AsSpan(other.Tokens)[..other.Cached]);
    }

    private static int CapacityFor(IEnumerable<GenerationRow> rows) => RoundUp(rows.Max(row => row.Tokens.Count));

    private long Bytes(int slots, int capacity) =>
        (bytesPerToken ??= model.CachedTokenBytes) * slots * (capacity + model.MaxVirtualTokens);

    private static int RoundUp(int tokens) => (tokens + CapacityStep - 1) / CapacityStep * CapacityStep;

    /// <summary>Frees the cache; nothing is kept.</summary>
    public void Dispose()
    {
        kept.Clear();
        cache?.Dispose();
        cache = null;
    }
}
