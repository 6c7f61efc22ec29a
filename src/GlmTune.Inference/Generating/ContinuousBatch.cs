using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>Continuous batching: between any two passes, finished rows leave and waiting rows enter.</summary>
/// <remarks>A pass processes either prompts, up to a limit of tokens, or one token of every row. While every row needs
/// only the most likely token, the next pass is queued before the results of this one are read; a row that turns out to
/// have ended then produces one unused token. When the cache would exceed its limit, the row that entered
/// last goes back to waiting, and its tokens are processed again later. Of waiting rows with equal tokens, one is
/// processed: its logits are used for the others too, and its keys and values are copied. Not thread-safe.</remarks>
internal sealed class ContinuousBatch(ICausalLm model, int vocabularySize, GenerationLimits limits) : IDisposable
{
    private readonly BatchCache cache = new(model, limits);
    private readonly LinkedList<GenerationRow> waiting = [];
    private readonly List<GenerationRow> active = []; // In order of entry.
    private IDecoder? decoder;
    private List<GenerationRow>? ahead; // Rows of a queued pass whose results have not been read.
    private List<GenerationRow>? inPass; // Rows of the current pass; null while room is being made for it.

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
        else
        {
            cache.Keep(row);
        }

        if (!HasWork && !cache.HasKept)
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

        cache.ForgetUnloaded();
        if (!HasWork)
        {
            return;
        }

        using var scope = NewDisposeScope();
        NextToken[] choices;
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

    private NextToken[] NextTokens()
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
        cache.MakeRoom(active, row => waiting.AddFirst(row));
        var sharing = FindSharing();
        var (rows, added) = Plan(sharing);
        inPass = rows;
        decoder ??= model.NewDecoder(cache.Memory, vocabularySize);
        if (decoder is not { IsUsable: true } || added.Exists(count => count > 1))
        {
            var logits = Pass(rows, added);
            Advance(rows, added);
            return NextToken.Sample(logits, vocabularySize, Ready(rows, sharing));
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
        return NextToken.Sample(decoder.Logits, vocabularySize, Ready(rows, sharing));
    }

    // Most likely tokens from a queued pass with one token per row; rows that have left since are skipped. The next
    // pass is queued first.
    private NextToken[] NextByArgmax(List<GenerationRow> rows)
    {
        if (CanContinue(rows))
        {
            decoder!.Advance();
            ahead = rows;
        }

        var tokens = decoder!.Argmax();
        var choices = new List<NextToken>();
        foreach (var (i, row) in rows.Index())
        {
            if (active.Contains(row))
            {
                row.Cached++;
                choices.Add(
                    NextToken.Select(row, () => row.Accept(Sampler.Checked(tokens[i].Id, tokens[i].Logit)))!.Value
                );
            }
        }

        return [.. choices];
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
            active.Contains(row) && model.VirtualTokensOf(row.Adapter) + row.Tokens.Count + 1 <= cache.Memory.Capacity
        )
        && rows.Count(row => row.Left > 1) * 2 > rows.Count
        && decoder!.CanAdvance;

    // Rows that are not processed themselves because another row has the same tokens and is further ahead, with that
    // row.
    private Dictionary<GenerationRow, GenerationRow> FindSharing()
    {
        var sharing = new Dictionary<GenerationRow, GenerationRow>();
        if (!active.Exists(row => row.Pending >= BatchCache.WorthCopying))
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
            else if (row.Pending >= BatchCache.WorthCopying)
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
            cache.Memory.CopyStart(other.Slot, row.Slot, model.VirtualTokensOf(row.Adapter) + row.Tokens.Count);
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
            cache.Memory,
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

    private void Admit()
    {
        while (waiting.First is { Value: var row } && active.Count < limits.Slots)
        {
            if (active.Count > 0 && !cache.Fits([.. active, row]))
            {
                return;
            }

            waiting.RemoveFirst();
            active.Add(row);
        }
    }

    private void DropCache()
    {
        ahead = null;
        decoder?.Dispose();
        decoder = null;
        cache.Dispose();
    }
}
