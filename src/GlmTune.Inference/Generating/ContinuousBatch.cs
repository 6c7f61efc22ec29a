using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Inference;

/// <summary>Continuous batching: between any two passes, finished rows leave and waiting rows enter.</summary>
/// <remarks>A pass processes one token of every row that is being answered, and prompts up to a limit of tokens, longer
/// ones in pieces. While every row is being answered and the device chooses its token, the next pass is queued before
/// the results of this one are read; a row that turns out to have ended then produces one unused token. When the
/// cache has no block left, the row that entered last goes back to waiting, and its tokens are processed again later.
/// Of waiting rows with equal tokens, one is processed: its logits are used for the others too, and its blocks are
/// shared. Not thread-safe.</remarks>
internal sealed class ContinuousBatch(
    ICausalLm model,
    int vocabularySize,
    GenerationLimits limits,
    GenerationCounts? counts = null
) : IDisposable
{
    // Tokens for which a row waits until an equal one has been processed.
    private const int WorthSharing = 16;

    // One in so many tokens of a pass is left to prompts, however many rows are being answered.
    private const int LeastPromptShare = 4;

    private readonly BatchCache cache = new(model, limits);
    private readonly LayerKernels kernels = LayerKernels.For(model.Device);
    private readonly SamplingTable table = new();
    private readonly PromptTurns turns = new();
    private readonly LinkedList<GenerationRow> waiting = [];
    private readonly List<GenerationRow> active = []; // In order of entry.
    private IDecoder? decoder;
    private List<GenerationRow>? ahead; // Rows of a queued pass whose results have not been read.
    private List<GenerationRow>? inPass; // Rows of the current pass; null while room is being made for it.

    /// <summary>Number of rows that have not entered yet.</summary>
    public int WaitingCount => waiting.Count;

    /// <summary>Whether there is any work.</summary>
    public bool HasWork => active.Count + waiting.Count > 0;

    /// <summary>Rows in the batch and waiting.</summary>
    public IEnumerable<GenerationRow> Rows => active.Concat(waiting);

    /// <summary>Number of blocks of the cache that rows use.</summary>
    public int UsedBlocks => cache.UsedBlocks - cache.PrefixBlocks;

    /// <summary>Appends a row to the waiting queue.</summary>
    public void Add(GenerationRow row) => waiting.AddLast(row);

    /// <summary>Removes a row, finished or not.</summary>
    public void Remove(GenerationRow row)
    {
        if (!active.Remove(row))
        {
            waiting.Remove(row);
        }

        cache.Leave(row);
        if (!HasWork && !limits.KeepsAnswers)
        {
            DropCache();
        }

        RecordCache();
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
                if (row.Left == row.MaxTokens - 1)
                {
                    counts?.Begun(row.Request.Prompt.Count, token.CachedTokens);
                }

                emit(row, token);
            }
            else
            {
                fail(row, error);
            }
        }

        RecordCache();
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
                return NextByDevice(queued);
            }
        }

        inPass = null;
        Admit();
        cache.MakeRoom(active);
        Enter();
        var sharing = FindSharing();
        var (rows, added) = Plan(sharing);
        (rows, added) = Reserve(rows, added);
        inPass = rows;
        decoder ??= model.NewDecoder(cache.Memory, vocabularySize);
        if (decoder is not { IsUsable: true } || added.Exists(count => count > 1))
        {
            var logits = Pass(rows, added);
            Advance(rows, added);
            return NextToken.Sample(logits, vocabularySize, Ready(rows, sharing), kernels);
        }

        var byDevice = sharing.Count == 0 && rows.TrueForAll(row => row.FitsAhead && row.Pending == 1);
        decoder.Begin(
            [
                .. rows.Select(row => new DecodeRow(
                    row.Tokens[row.Cached],
                    row.Slot,
                    model.VirtualTokensOf(row.Adapter) + row.Cached,
                    row.Adapter
                )),
            ],
            byDevice ? TableFor(rows, pending: false) : null
        );
        if (byDevice)
        {
            return NextByDevice(rows);
        }

        Advance(rows, added);
        return NextToken.Sample(decoder.Logits, vocabularySize, Ready(rows, sharing), kernels);
    }

    // How the device chooses the rows' next tokens; null: the most likely ones. With pending ones, those after them.
    private SamplingTable? TableFor(List<GenerationRow> rows, bool pending)
    {
        if (rows.TrueForAll(row => row.ArgmaxSuffices))
        {
            return null;
        }

        table.Clear();
        foreach (var (i, row) in rows.Index())
        {
            row.Sampler.AddTo(table, i, pending);
        }

        return table;
    }

    // The device's tokens from a queued pass with one token per row; rows that have left since are skipped. The next
    // pass is queued first.
    private NextToken[] NextByDevice(List<GenerationRow> rows)
    {
        if (CanContinue(rows))
        {
            decoder!.Advance(TableFor(rows, pending: true));
            ahead = rows;
        }

        var tokens = decoder!.Tokens();
        var choices = new List<NextToken>();
        foreach (var (i, row) in rows.Index())
        {
            if (active.Contains(row))
            {
                row.Cached++;
                cache.Record(row);
                choices.Add(NextToken.Select(row, () => row.Take(tokens[i]))!.Value);
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
            foreach (var row in active.AsEnumerable().Reverse())
            {
                row.Leave();
                if (!failed.Contains(row))
                {
                    waiting.AddFirst(row);
                }
            }

            active.Clear();
            DropCache();
        }
        else
        {
            failed = [.. inPass.Where(active.Contains)];
            failed = forMemory && failed.Length > 1 ? [failed.MaxBy(row => row.Tokens.Count)!] : failed;
            Array.ForEach(failed, cache.Leave);
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
        (waiting.First is not { Value: var next } || active.Count == limits.Slots || !CanEnter(next))
        && rows.Count == active.Count
        && rows.TrueForAll(active.Contains)
        && rows.Count(row => row.Left > 1) * 2 > rows.Count
        && rows.TrueForAll(row => cache.TryReserve(row, row.Tokens.Count + 1))
        && decoder!.CanAdvance;

    // Rows that are not processed themselves because another row has the same tokens and is further ahead, with that
    // row.
    private Dictionary<GenerationRow, GenerationRow> FindSharing()
    {
        var sharing = new Dictionary<GenerationRow, GenerationRow>();
        if (!active.Exists(row => row.Pending >= WorthSharing))
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
            else if (row.Pending >= WorthSharing)
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
        if (sharing.Count > 0)
        {
            var shared = sharing.Where(pair =>
                pair.Value.Pending == 0 && rows.Contains(pair.Value) && active.Contains(pair.Key)
            );
            foreach (var row in cache.Share(shared.Select(pair => (pair.Key, pair.Value))))
            {
                ready.Add((rows.IndexOf(sharing[row]), row));
            }
        }

        return [.. ready];
    }

    // Rows of the next pass with their numbers of tokens: one token of each row that is being answered, so that none
    // waits longer than a pass, and prompts in the tokens left, longer ones in pieces.
    private (List<GenerationRow> Rows, List<int> Added) Plan(Dictionary<GenerationRow, GenerationRow> sharing)
    {
        var read = active.Where(row => !sharing.ContainsKey(row)).ToList();
        var rows = read.FindAll(row => row.Pending == 1);
        var added = rows.ConvertAll(_ => 1);
        var prompts = read.FindAll(row => row.Pending > 1);
        if (prompts.Count > 0)
        {
            // Prompts make progress even where more rows are being answered than a pass should have tokens.
            var least = (limits.PassTokens + LeastPromptShare - 1) / LeastPromptShare;
            turns.Divide(prompts, Math.Max(limits.PassTokens - rows.Count, least), Take);
        }

        return (rows, added);

        int Take(GenerationRow row, int left)
        {
            cache.TakeKnown(row);
            var count = Math.Min(row.Pending, left);
            if (count < row.Pending && added.Count > 0 && added[^1] > 1)
            {
                // What it would begin, the prompts before it may spare it.
                count = cache.UpToWholeBlock(row, count);
            }

            if (count > 0)
            {
                rows.Add(row);
                added.Add(count);
            }

            return count;
        }
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

    private void Advance(List<GenerationRow> rows, List<int> added)
    {
        foreach (var (row, count) in rows.Zip(added))
        {
            row.Cached += count;
            cache.Record(row);
        }
    }

    // Gives a place in the cache to rows that have none; where there is no memory, the newest wait.
    private void Enter()
    {
        foreach (var row in active.Where(row => row.Slot < 0).ToList())
        {
            if (!cache.TryEnter(row))
            {
                if (row == active[0])
                {
                    throw new InsufficientMemoryException("The cache has no room for the prefix of a row.");
                }

                for (var first = active.IndexOf(row); active.Count > first;)
                {
                    Preempt(active[^1]);
                }

                return;
            }
        }
    }

    // Blocks for the tokens of a pass, in the order of entry. Where none are left, the row that entered last makes
    // room; the first row always gets its blocks.
    private (List<GenerationRow> Rows, List<int> Added) Reserve(List<GenerationRow> rows, List<int> added)
    {
        var counts = rows.Zip(added).ToDictionary(pair => pair.First, pair => pair.Second);
        foreach (var row in active.Where(counts.ContainsKey).ToList())
        {
            while (active.Contains(row) && !cache.TryReserve(row, row.Cached + counts[row], force: active.Count == 1))
            {
                Preempt(active[^1]);
            }
        }

        var kept = rows.Zip(added).Where(pair => active.Contains(pair.First)).ToList();
        return ([.. kept.Select(pair => pair.First)], [.. kept.Select(pair => pair.Second)]);
    }

    private void Preempt(GenerationRow row)
    {
        active.Remove(row);
        cache.Leave(row);
        waiting.AddFirst(row);
        counts?.Preempted();
    }

    private void RecordCache() => counts?.Record(cache.UsedBlocks, cache.KeptBlocks, cache.FreeBlocks);

    private void Admit()
    {
        while (waiting.First is { Value: var row } && active.Count < limits.Slots)
        {
            if (active.Count > 0 && !CanEnter(row))
            {
                return;
            }

            waiting.RemoveFirst();
            active.Add(row);
        }
    }

    private bool CanEnter(GenerationRow row) =>
        cache.CanHold(row, active) && AdapterRoom.IsThereFor(row, active, model.MaxAdaptersOfPass);

    private void DropCache()
    {
        ahead = null;
        decoder?.Dispose();
        decoder = null;
        cache.Dispose();
    }
}
