using System.Runtime.InteropServices;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>Continuous batching: between any two passes, finished rows leave and waiting rows enter.</summary>
/// <remarks>A pass processes either prompts, up to a limit of tokens, or one token of every row. While every row needs
/// only the most likely token, the next pass is queued before the results of this one are read; a row that turns out to
/// have ended then produces one unused token. The cache reserves room for complete answers if the limit allows, and
/// grows with its longest row. When it would exceed its limit, the row that entered last goes back to waiting, and its
/// tokens are processed again later. Finished rows leave their keys and values in the cache as long as there is room,
/// and a row that starts with the same tokens takes them over. Of waiting rows with equal tokens, one is processed: its
/// logits are used for the others too, and its keys and values are copied. Not thread-safe.</remarks>
internal sealed class ContinuousBatch(ICausalLm model, int vocabularySize, GenerationLimits limits) : IDisposable
{
    private const int CapacityStep = 64;

    // Tokens reserved ahead of each row; memory for a longer answer is allocated when needed.
    private const int MaxAhead = 2048;
    private const int WorthCopying = 16; // In tokens; fewer are processed faster than copied layer by layer.
    private readonly LinkedList<GenerationRow> waiting = [];
    private readonly List<GenerationRow> active = []; // In order of entry.

    // Finished rows whose slots are still intact; the least recently used first.
    private readonly List<GenerationRow> kept = [];
    private KvCache? cache;
    private IDecoder? decoder;
    private List<GenerationRow>? ahead; // Rows of a queued pass whose results have not been read.
    private List<GenerationRow>? inPass; // Rows of the current pass; null while room is being made for it.
    private long bytesPerToken;

    private readonly record struct Choice(GenerationRow Row, GeneratedToken Token, Exception? Error);

    /// <summary>Number of rows that have not entered yet.</summary>
    public int WaitingCount => waiting.Count;

    /// <summary>Whether there is any work.</summary>
    public bool HasWork => active.Count + waiting.Count > 0;

    /// <summary>Number of rows in the batch and waiting.</summary>
    public IEnumerable<GenerationRow> Rows => active.Concat(waiting);

    /// <summary>Appends a row to the waiting queue.</summary>
    public void Add(GenerationRow row) => waiting.AddLast(row);

    /// <summary>Removes a row, finished or not.</summary>
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

    /// <summary>Runs one forward pass. Rows that have finished or failed are removed before it returns.</summary>
    /// <param name="emit">Called for each row with its new token.</param>
    /// <param name="fail">Called for each row for which no token could be selected, with the error; other rows
    /// continue.</param>
    /// <exception cref="PassFailedException">The pass itself failed. Its rows have been removed; the others continue
    /// with the next step.</exception>
    public void Step(Action<GenerationRow, GeneratedToken> emit, Action<GenerationRow, Exception> fail)
    {
        foreach (var row in Rows.Where(row => row.Adapter is { IsLoaded: false }).ToList())
        {
            Remove(row);
            fail(
                row,
                new InvalidOperationException($"The adapter '{row.Adapter!.Name}' was unloaded during generation.")
            );
        }

        kept.RemoveAll(row => row.Adapter is { IsLoaded: false });
        if (!HasWork)
        {
            return;
        }

        using var scope = NewDisposeScope();
        Choice[] choices;
        try
        {
            choices = NextTokens();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw new PassFailedException(Abandon(AllocationFailure.Find(e) is not null), e);
        }

        foreach (var (row, token, error) in choices)
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

    private Choice[] NextTokens()
    {
        if (ahead is { } queued)
        {
            ahead = null;
            inPass = queued;
            if (queued.Exists(active.Contains))
            {
                return NextByArgmax(queued);
            }
        }

        inPass = null;
        Admit();
        MakeRoom();
        var sharing = FindSharing();
        var (rows, added) = Plan(sharing);
        inPass = rows;
        decoder ??= model.NewDecoder(cache!, vocabularySize);
        if (decoder is not { IsUsable: true } || added.Exists(count => count > 1))
        {
            var logits = Pass(rows, added);
            Advance(rows, added);
            return Sample(logits, Ready(rows, sharing));
        }

        decoder.Begin([
            .. rows.Select(row => new DecodeRow(
                row.Tokens[row.Cached],
                row.Slot,
                model.VirtualTokensOf(row.Adapter) + row.Cached,
                row.Adapter
            )),
        ]);
        if (sharing.Count == 0 && rows.TrueForAll(row => row.ArgmaxSuffices && row.Pending == 1))
        {
            return NextByArgmax(rows);
        }

        Advance(rows, added);
        return Sample(decoder.Logits, Ready(rows, sharing));
    }

    // Most likely tokens from a queued pass with one token per row; rows that have left since are skipped. The next
    // pass is queued first.
    private Choice[] NextByArgmax(List<GenerationRow> rows)
    {
        if (CanContinue(rows))
        {
            decoder!.Advance();
            ahead = rows;
        }

        var tokens = decoder!.Argmax();
        var choices = new List<Choice>();
        foreach (var (i, row) in rows.Index())
        {
            if (active.Contains(row))
            {
                row.Cached++;
                choices.Add(Attempt(row, () => row.Accept(Sampler.Checked(tokens[i].Id, tokens[i].Logit)))!.Value);
            }
        }

        return [.. choices];
    }

    // A row's next token, or why there is none; null if it could not be determined in this way.
    private static Choice? Attempt(GenerationRow row, Func<GeneratedToken?> sample)
    {
        try
        {
            return sample() is { } token ? new Choice(row, token, null) : null;
        }
        catch (Exception e)
        {
            return new Choice(row, default, e);
        }
    }

    // After a failed pass: returns the rows that cannot continue, and removes them. The pass wrote only beyond the
    // tokens that its rows count as cached, so the slots of the others are intact. If making room failed, the cache may
    // be partly rearranged: then only the newest rows are given up, and the others process their tokens again.
    // If a pass ran out of memory, only its longest row is given up, and the others try again without it.
    private GenerationRow[] Abandon(bool forMemory)
    {
        GenerationRow[] failed;
        if (inPass is null)
        {
            failed = [.. active.Where(row => row.Slot < 0)];
            failed = failed.Length > 0 ? failed : [.. active.TakeLast(1)];
            active.RemoveAll(failed.Contains);
            foreach (var row in active.AsEnumerable().Reverse())
            {
                row.Leave();
                waiting.AddFirst(row);
            }

            active.Clear();
            DropCache();
        }
        else
        {
            failed = [.. inPass.Where(active.Contains)];
            failed = forMemory && failed.Length > 1 ? [failed.MaxBy(row => row.Tokens.Count)!] : failed;
            active.RemoveAll(failed.Contains);
            ahead = null;
            decoder?.Dispose();
            decoder = null;
        }

        return failed;
    }

    // Whether another pass over the same rows is worthwhile and possible: all are still present and have room, most
    // continue, nobody waits for a slot that one of them would free, and the decoder's state is unchanged.
    private bool CanContinue(List<GenerationRow> rows) =>
        (waiting.Count == 0 || active.Count == limits.Slots)
        && rows.TrueForAll(row =>
            active.Contains(row) && model.VirtualTokensOf(row.Adapter) + row.Tokens.Count + 1 <= cache!.Capacity
        )
        && rows.Count(row => row.Left > 1) * 2 > rows.Count
        && decoder!.CanAdvance;

    // Rows that are not processed themselves because another row has the same tokens and is further ahead, with that
    // row.
    private Dictionary<GenerationRow, GenerationRow> FindSharing()
    {
        var sharing = new Dictionary<GenerationRow, GenerationRow>();
        if (!active.Exists(row => row.Pending >= WorthCopying))
        {
            return sharing;
        }

        var read = new List<GenerationRow>();
        foreach (var row in active.OrderByDescending(row => row.Cached))
        {
            if (read.Find(row.IsAlike) is not { } other)
            {
                read.Add(row);
            }
            else if (row.Pending >= WorthCopying)
            {
                sharing.Add(row, other);
            }
        }

        return sharing;
    }

    // Rows whose tokens are all in the cache after a pass over some, with the index of their logits; rows that share
    // another's tokens have taken over its keys and values.
    private (int Index, GenerationRow Row)[] Ready(
        List<GenerationRow> rows,
        Dictionary<GenerationRow, GenerationRow> sharing
    )
    {
        var ready = rows.Index().Where(row => row.Item.Pending == 0).ToList();
        foreach (var (row, other) in sharing.Where(pair => pair.Value.Pending == 0))
        {
            cache!.CopyStart(other.Slot, row.Slot, model.VirtualTokensOf(row.Adapter) + row.Tokens.Count);
            row.TakeOver();
            ready.Add((rows.IndexOf(other), row));
        }

        return [.. ready];
    }

    // Rows of the next pass with their numbers of tokens: prompts first, then one token of every row.
    private (List<GenerationRow> Rows, List<int> Added) Plan(Dictionary<GenerationRow, GenerationRow> sharing)
    {
        var rows = new List<GenerationRow>();
        var added = new List<int>();
        var read = active.Where(row => !sharing.ContainsKey(row)).ToList();
        var prefill = read.Exists(row => row.Pending > 1);
        var left = prefill ? limits.PassTokens : int.MaxValue;
        foreach (var row in read.Where(row => !prefill || row.Pending > 1))
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

        return (rows, added);
    }

    private Tensor Pass(List<GenerationRow> rows, List<int> added)
    {
        var ids = new List<int>();
        var starts = new List<int> { 0 };
        foreach (var (row, count) in rows.Zip(added))
        {
            ids.AddRange(row.Tokens.GetRange(row.Cached, count));
            starts.Add(ids.Count);
        }

        var step = new CacheStep(
            cache!,
            [.. rows.Select(row => row.Slot)],
            [.. rows.Select(row => model.VirtualTokensOf(row.Adapter) + row.Cached)],
            added
        );
        return model.Logits(
            [.. ids],
            new SequenceLayout(starts, model.Device),
            step,
            lastOnly: true,
            rows.Exists(row => row.Adapter is not null) ? [.. rows.Select(row => row.Adapter)] : null
        );
    }

    private static void Advance(List<GenerationRow> rows, List<int> added)
    {
        foreach (var (row, count) in rows.Zip(added))
        {
            row.Cached += count;
        }
    }

    // The next token of each row. Only the logits that the selection needs are copied to the host: the most likely
    // token, the most likely few, or all.
    private Choice[] Sample(Tensor logits, (int Index, GenerationRow Row)[] ready)
    {
        var producible = logits.narrow(1, 0, vocabularySize);
        var choices = new Choice[ready.Length];
        if (ready.Length == 0)
        {
            return choices;
        }

        if (Array.Exists(ready, row => row.Row.ArgmaxSuffices))
        {
            var likeliest = producible.argmax(1, keepdim: true);
            var (ids, values) = (likeliest.cpu().data<long>().ToArray(), Values(producible.gather(1, likeliest)));
            SampleEach(
                row => row.ArgmaxSuffices,
                (row, index) => row.Accept(Sampler.Checked(ids[index], values[index]))
            );
        }

        if (vocabularySize > Sampler.TopCount && Array.Exists(ready, row => row.Row.TopTokensMaySuffice))
        {
            var (values, ids) = producible.topk(Sampler.TopCount, 1);
            var (hostValues, hostIds) = (Values(values), ids.cpu().data<long>().ToArray());
            SampleEach(
                row => row.TopTokensMaySuffice,
                (row, index) =>
                    row.SampleAmong(
                        hostIds.AsSpan(index * Sampler.TopCount, Sampler.TopCount),
                        hostValues.AsSpan(index * Sampler.TopCount, Sampler.TopCount)
                    )
            );
        }

        var undecided = ready.Where((_, i) => choices[i].Row is null).ToArray();
        if (undecided.Length > 0)
        {
            var wanted = undecided.Select(row => row.Index).SequenceEqual(Enumerable.Range(0, (int)producible.shape[0]))
                ? producible
                : producible.index_select(
                    0,
                    tensor(Array.ConvertAll(undecided, row => (long)row.Index)).to(logits.device)
                );
            var all = Values(wanted);
            SampleEach(
                _ => true,
                (row, _) =>
                    row.Sample(
                        all.AsSpan(
                            Array.FindIndex(undecided, other => other.Row == row) * vocabularySize,
                            vocabularySize
                        )
                    )
            );
        }

        return choices;

        void SampleEach(Func<GenerationRow, bool> which, Func<GenerationRow, int, GeneratedToken?> sample)
        {
            var wanted = Enumerable
                .Range(0, ready.Length)
                .Where(i => choices[i].Row is null && which(ready[i].Row))
                .ToArray();
            if (wanted.Length == 1)
            {
                SampleOne(wanted[0]);
            }
            else
            {
                Parallel.ForEach(wanted, SampleOne);
            }

            void SampleOne(int i)
            {
                var (index, row) = ready[i];
                choices[i] = Attempt(row, () => sample(row, index)) ?? default;
            }
        }
    }

    private static float[] Values(Tensor tensor) =>
        tensor.to_type(ScalarType.Float32).cpu().contiguous().data<float>().ToArray();

    private void Admit()
    {
        if (bytesPerToken == 0)
        {
            bytesPerToken = model.CachedTokenBytes;
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

    // A slot for each active row, with room for all its tokens.
    private void MakeRoom()
    {
        var have = cache is null ? 0 : cache.Capacity - model.MaxVirtualTokens;
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

        if (cache is null || needed > have || active.Count + kept.Count > cache.Slots)
        {
            Resize(needed, have);
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
    private void Resize(int needed, int have)
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
    private (GenerationRow? Source, int Count) FindReuse(GenerationRow row)
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

    private long Bytes(int slots, int capacity) => bytesPerToken * slots * (capacity + model.MaxVirtualTokens);

    private static int RoundUp(int tokens) => (tokens + CapacityStep - 1) / CapacityStep * CapacityStep;

    private void DropCache()
    {
        kept.Clear();
        ahead = null;
        decoder?.Dispose();
        cache?.Dispose();
        (decoder, cache) = (null, null);
    }
}
