using System.Runtime.InteropServices;
using GlmTune.Kernels;
using GlmTune.Model;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>Rows that are generated side by side: finished rows leave and waiting rows enter between any two passes.</summary>
/// <remarks>
/// A pass takes in prompts, as many tokens as are allowed at once, or one token of every row. The cache grows with its longest row; where it
/// would grow past its limit, the row that entered last goes back to wait, and takes its tokens in again later. Finished rows leave their keys and
/// values as long as there is room: a row that begins with the same tokens takes them over. Not thread-safe.
/// </remarks>
internal sealed class ContinuousBatch(ICausalLm model, int vocabularySize, GenerationLimits limits) : IDisposable
{
    private const int CapacityStep = 64;
    private const int WorthCopying = 16;   // Tokens; fewer are read faster than copied layer by layer.
    private readonly LinkedList<GenerationRow> waiting = [];
    private readonly List<GenerationRow> active = [];   // In the order in which they entered.
    private readonly List<GenerationRow> kept = [];     // Finished, their slots untouched; the least recently used first.
    private KvCache? cache;
    private long bytesPerToken;

    private readonly record struct Choice(GenerationRow Row, GeneratedToken Token, Exception? Error);

    /// <summary>Rows that have not entered yet.</summary>
    public int WaitingCount => waiting.Count;

    /// <summary>Whether there is anything to do.</summary>
    public bool HasWork => active.Count + waiting.Count > 0;

    /// <summary>Rows in the batch and waiting.</summary>
    public IEnumerable<GenerationRow> Rows => active.Concat(waiting);

    /// <summary>Puts a row at the end of those that wait.</summary>
    public void Add(GenerationRow row) => waiting.AddLast(row);

    /// <summary>Takes a row out, finished or not.</summary>
    public void Remove(GenerationRow row)
    {
        if (!active.Remove(row))
        {
            waiting.Remove(row);
        }
        else if (row.Cached > 0 && limits.KeptAnswers > 0)
        {
            kept.Add(row);
            kept.RemoveRange(0, Math.Max(0, kept.Count - limits.KeptAnswers));
        }

        if (!HasWork && kept.Count == 0)
        {
            DropCache();
        }
    }

    /// <summary>One pass of the model. Rows that are finished or failed have left when it returns.</summary>
    /// <param name="emit">Gets each row that has a new token, and the token.</param>
    /// <param name="fail">Gets each row for which no token could be chosen, and why; the others go on.</param>
    public void Step(Action<GenerationRow, GeneratedToken> emit, Action<GenerationRow, Exception> fail)
    {
        foreach (var row in Rows.Where(row => row.Adapter is { IsLoaded: false }).ToList())
        {
            Remove(row);
            fail(row, new InvalidOperationException($"The adapter '{row.Adapter!.Name}' was unloaded while it answered."));
        }

        kept.RemoveAll(row => row.Adapter is { IsLoaded: false });
        if (!HasWork)
        {
            return;
        }

        Admit();
        MakeRoom();
        var rows = new List<GenerationRow>();
        var added = new List<int>();
        var prefill = active.Exists(row => row.Pending > 1);
        var left = prefill ? limits.PassTokens : int.MaxValue;
        foreach (var row in active.Where(row => !prefill || row.Pending > 1))
        {
            var count = Math.Min(row.Pending, left);
            if (count == 0)
            {
                break;
            }

            rows.Add(row);
            added.Add(count);
            left -= count;
        }

        using var scope = NewDisposeScope();
        var logits = Pass(rows, added);
        for (var i = 0; i < rows.Count; i++)
        {
            rows[i].Cached += added[i];
        }

        foreach (var (row, token, error) in Choose(logits, rows))
        {
            if (error is not null || token.Finish is not null)
            {
                Remove(row);
            }

            if (error is null)
            {
                emit(row, token);
            }
            else
            {
                fail(row, error);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => DropCache();

    private Tensor Pass(List<GenerationRow> rows, List<int> added)
    {
        var ids = new List<int>();
        var starts = new List<int> { 0 };
        foreach (var (row, count) in rows.Zip(added))
        {
            ids.AddRange(row.Tokens.GetRange(row.Cached, count));
            starts.Add(ids.Count);
        }

        var step = new CacheStep(cache!, [.. rows.Select(row => row.Slot)], [.. rows.Select(row => model.VirtualTokensOf(row.Adapter) + row.Cached)], added);
        return model.Logits(
            [.. ids], new SequenceLayout(starts, model.Device), step, lastOnly: true, rows.Exists(row => row.Adapter is not null) ? [.. rows.Select(row => row.Adapter)] : null);
    }

    // The next token of each row whose tokens are all in the cache.
    private Choice[] Choose(Tensor logits, List<GenerationRow> rows)
    {
        var producible = logits.narrow(1, 0, vocabularySize);
        var ready = rows.Index().Where(row => row.Item.Pending == 0).ToList();
        if (ready.Count == 0)
        {
            return [];
        }

        if (ready.TrueForAll(row => row.Item.ArgmaxSuffices))
        {
            var ids = producible.argmax(1).cpu().data<long>().ToArray();
            return [.. ready.Select(row => new Choice(row.Item, row.Item.Accept((int)ids[row.Index]), null))];
        }

        var values = producible.to_type(ScalarType.Float32).cpu().contiguous().data<float>().ToArray();
        var choices = new Choice[ready.Count];
        if (ready.Count == 1)
        {
            ChooseOne(0);
        }
        else
        {
            Parallel.For(0, ready.Count, ChooseOne);
        }

        return choices;

        void ChooseOne(int i)
        {
            var (index, row) = ready[i];
            try
            {
                choices[i] = new Choice(row, row.Choose(values.AsSpan(index * vocabularySize, vocabularySize)), null);
            }
            catch (Exception e)
            {
                choices[i] = new Choice(row, default, e);
            }
        }
    }

    private void Admit()
    {
        if (cache is null)
        {
            cache = model.NewCache(1, CapacityStep);
            bytesPerToken = 2L * model.Config.LayerCount * cache.Keys(0).stride(1) * cache.Keys(0).element_size();
        }

        while (waiting.First is { Value: var row } && active.Count < limits.Slots)
        {
            if (active.Count > 0 && Bytes(active.Count + 1, CapacityFor(active.Append(row))) > limits.CacheBytes)
            {
                return;
            }

            waiting.RemoveFirst();
            active.Add(row);
        }
    }

    // A slot for each active row, and room in it for all its tokens.
    private void MakeRoom()
    {
        var have = cache!.Capacity - model.MostVirtualTokens;
        var needed = CapacityFor(active);
        while (active.Count > 1 && needed > have && Bytes(active.Count, needed) > limits.CacheBytes)
        {
            var last = active[^1];
            active.RemoveAt(active.Count - 1);
            last.Leave();
            waiting.AddFirst(last);
            needed = CapacityFor(active);
        }

        var reuse = active.Where(row => row.Slot < 0).ToDictionary(row => row, FindReuse);
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

        if (needed > have || active.Count + kept.Count > cache.Slots)
        {
            // Half as much again, so that a long answer is copied a few times only; within the limit where that is possible.
            var roomy = needed > have ? Rounded(Math.Max(needed, have + (have / 2))) : have;
            GenerationRow[] holding = [.. active.Where(row => row.Slot >= 0), .. kept];
            var slots = active.Count + kept.Count;
            var capacity = Bytes(slots, roomy) <= limits.CacheBytes ? roomy : needed;
            cache.Rearrange([.. holding.Select(row => row.Slot), .. Enumerable.Repeat(0, slots - holding.Length)], capacity + model.MostVirtualTokens);
            foreach (var (slot, row) in holding.Index())
            {
                row.Slot = slot;
            }
        }

        var free = new Queue<int>(Enumerable.Range(0, cache.Slots).Except(active.Concat(kept).Select(row => row.Slot)));
        foreach (var row in active.Where(row => row.Slot < 0))
        {
            var (slot, (source, count)) = (free.Dequeue(), reuse[row]);
            if (source is not null && count >= WorthCopying && (kept.Contains(source) || active.Contains(source)))
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

    // The row whose slot begins with the most of this row's tokens, and how many; at least one token is left to be read, which gives the logits.
    private (GenerationRow? Source, int Count) FindReuse(GenerationRow row)
    {
        var source = kept.Concat(active.Where(other => other.Slot >= 0)).Where(other => other.Adapter == row.Adapter)
            .MaxBy(Common);
        if (source is not null && kept.Remove(source))
        {
            kept.Add(source);   // Used just now.
        }

        return (source, source is null ? 0 : Common(source));

        int Common(GenerationRow other) => CollectionsMarshal.AsSpan(row.Tokens)[..^1].CommonPrefixLength(CollectionsMarshal.AsSpan(other.Tokens)[..other.Cached]);
    }

    private static int CapacityFor(IEnumerable<GenerationRow> rows) => Rounded(rows.Max(row => row.Tokens.Count));

    private long Bytes(int slots, int capacity) => bytesPerToken * slots * (capacity + model.MostVirtualTokens);

    private static int Rounded(int tokens) => (tokens + CapacityStep - 1) / CapacityStep * CapacityStep;

    private void DropCache()
    {
        kept.Clear();
        cache?.Dispose();
        cache = null;
    }
}
