using System.Runtime.InteropServices;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>Yields the batches of one rank, step by step and epoch by epoch, from any
/// <see cref="DataCursor"/>.</summary>
/// <remarks>The micro-batches of a step follow the epoch's plan in order; micro-batch m goes to rank m mod N. The
/// examples of a step therefore do not depend on the number of ranks, as long as ranks × accumulation stays the same.
/// Nothing is dropped: the last step of an epoch may be smaller. The next step is prepared on another thread while the
/// current one is used. Not thread-safe; <see cref="Cursor"/> may be set at any time.</remarks>
internal sealed class TrainingBatches
{
    private readonly ExampleList examples;
    private readonly BatchOptions options;
    private readonly int paddingId;
    private readonly int rank;
    private readonly int worldSize;
    private readonly IReadOnlyList<int> tokens;
    private readonly Lock planning = new();
    private EpochPlan plan;
    private int plannedEpoch;
    private (DataCursor From, Task<StepBatches> Step)? ahead;

    /// <summary>Starts at the first example of epoch 0.</summary>
    /// <param name="examples">The examples of the split; at least one.</param>
    /// <param name="options">How examples are grouped.</param>
    /// <param name="paddingId">The token id that fills a micro-batch without examples.</param>
    /// <param name="rank">Rank of this process, from 0.</param>
    /// <param name="worldSize">Number of ranks.</param>
    /// <exception cref="ArgumentException">There is no example, a number is not positive, the rank is outside the
    /// world, or an example is longer than a packed row.</exception>
    public TrainingBatches(
        IReadOnlyList<TokenizedExample> examples,
        BatchOptions options,
        int paddingId,
        int rank = 0,
        int worldSize = 1
    )
    {
        if (examples.Count == 0)
        {
            throw new ArgumentException("There are no examples to train on.", nameof(examples));
        }

        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.RowsPerMicroBatch);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.AccumulationSteps);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.PackingWindow);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
        (this.examples, this.options, this.paddingId, this.rank, this.worldSize) = (
            ExampleList.Of(examples),
            options,
            paddingId,
            rank,
            worldSize
        );
        tokens = this.examples.Tokens;
        plan = EpochPlan.Create(tokens, options, epoch: 0);
        if (plan.Examples == 0)
        {
            throw new ArgumentException(
                $"{examples.Count} examples do not fill a micro-batch of {options.RowsPerMicroBatch}, and "
                    + "smaller ones are dropped.",
                nameof(examples)
            );
        }
    }

    /// <summary>Position in the data at which the next step starts.</summary>
    /// <exception cref="ArgumentException">The position set is not in the data.</exception>
    public DataCursor Cursor
    {
        get;
        set
        {
            if (value.Epoch < 0 || value.Examples < 0 || value.Examples >= examples.Count)
            {
                throw new ArgumentException(
                    $"Epoch {value.Epoch}, example {value.Examples} is not a valid position among "
                        + $"{examples.Count} examples. Does it come from a run with other data?",
                    nameof(value)
                );
            }

            field = value;
        }
    }

    /// <summary>Indices of examples that are left out of their micro-batches. Positions in the data count them, so they
    /// stay valid.</summary>
    public IReadOnlySet<int> LeftOut
    {
        get;
        set => (field, ahead) = (value, null);
    } = new HashSet<int>();

    /// <summary>Sets <see cref="Cursor"/> if a step can start there.</summary>
    /// <returns>False if it cannot and nothing was changed: the cursor is from a run that grouped its data
    /// differently.</returns>
    public bool TryGoTo(DataCursor cursor)
    {
        if (cursor.Epoch < 0 || cursor.Examples < 0 || !PlanOf(cursor.Epoch).BeginsAt(cursor.Examples))
        {
            return false;
        }

        Cursor = cursor;
        return true;
    }

    /// <summary>Sets <see cref="Cursor"/> to the last micro-batch that starts at or before a fraction of an
    /// epoch.</summary>
    /// <param name="epoch">The epoch, from 0.</param>
    /// <param name="fraction">Fraction of its examples that are used, 0 to 1; 1 is the start of the next epoch.</param>
    public void GoTo(int epoch, double fraction)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(fraction);
        Cursor =
            fraction >= 1
                ? new DataCursor(epoch + 1, 0)
                : new DataCursor(epoch, PlanOf(epoch).LastStartUpTo(fraction * PlanOf(epoch).Examples));
    }

    /// <summary>How full the packed micro-batches of the current epoch are.</summary>
    /// <exception cref="InvalidOperationException">Rows are not packed.</exception>
    public PackingReport Packing
    {
        get
        {
            var limit = options.PackedTokens ?? throw new InvalidOperationException("Rows are padded, not packed.");
            var current = PlanOf(Cursor.Epoch);
            return new PackingReport(
                tokens.Count,
                current.MicroBatches,
                limit,
                tokens.Sum(count => (double)count) / ((double)current.MicroBatches * limit)
            );
        }
    }

    private int MicroBatchesPerStep => worldSize * options.AccumulationSteps;

    /// <summary>Number of steps per epoch; the last may be smaller.</summary>
    public int StepsIn(int epoch) => (PlanOf(epoch).MicroBatches + MicroBatchesPerStep - 1) / MicroBatchesPerStep;

    /// <summary>Number of steps in a number of epochs, which may end within an epoch; at least 1.</summary>
    public int StepsFor(double epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epochs);
        var whole = (int)epochs;
        var steps = Enumerable.Range(0, whole).Sum(StepsIn);
        return epochs > whole ? steps + LastSteps(epochs) : steps;
    }

    /// <summary>Number of steps from <see cref="Cursor"/> to the end of a number of epochs; 0 if it is beyond
    /// that.</summary>
    /// <remarks>Equals <see cref="StepsFor"/> at the first example. A run resumed with another world size may have
    /// another number of steps left, but for the same examples.</remarks>
    /// <exception cref="ArgumentException">The cursor is from a run that grouped its data differently.</exception>
    public int StepsLeft(double epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epochs);
        var (whole, steps) = ((int)epochs, 0);
        for (var epoch = Cursor.Epoch; epoch < epochs; epoch++)
        {
            var end = PlanOf(epoch).MicroBatches;
            end = epoch < whole ? end : Math.Min(end, LastSteps(epochs) * MicroBatchesPerStep);
            var first = epoch == Cursor.Epoch ? PlanOf(epoch).MicroBatchAt(Cursor.Examples) : 0;
            steps += Math.Max(0, end - first + MicroBatchesPerStep - 1) / MicroBatchesPerStep;
        }

        return steps;
    }

    private int LastSteps(double epochs) => (int)Math.Ceiling((epochs - (int)epochs) * StepsIn((int)epochs));

    /// <summary>This rank's part of the next step; advances <see cref="Cursor"/> past it.</summary>
    /// <exception cref="ArgumentException">The cursor is from a run that grouped its data differently.</exception>
    public StepBatches Next()
    {
        var step =
            ahead is { } prepared && prepared.From == Cursor
                ? prepared.Step.GetAwaiter().GetResult()
                : StepFrom(Cursor);
        Cursor = step.After;
        ahead = (step.After, Task.Run(() => StepFrom(step.After)));
        return step;
    }

    /// <summary>A step of the longest rows that fit into a micro-batch, the same on every rank: two micro-batches if
    /// steps have several. The position in the data stays where it is.</summary>
    public StepBatches Longest()
    {
        List<int> chosen = [];
        var room = options.PackedTokens ?? int.MaxValue;
        var all = Enumerable.Range(0, tokens.Count).Where(index => !LeftOut.Contains(index));
        foreach (var index in all.OrderByDescending(index => tokens[index]))
        {
            if (options.PackedTokens is null && chosen.Count == options.RowsPerMicroBatch)
            {
                break;
            }

            if (tokens[index] <= room)
            {
                chosen.Add(index);
                room -= options.PackedTokens is null ? 0 : tokens[index];
            }
        }

        var longest = Build(CollectionsMarshal.AsSpan(chosen), LeftOut);
        MicroBatch[] mine = options.AccumulationSteps > 1 ? [longest, longest] : [longest];
        return new StepBatches(
            mine,
            mine.Length * worldSize * longest.SupervisedTokens,
            mine.Length * worldSize * chosen.Count,
            Cursor,
            Cursor.Epoch
        );
    }

    private StepBatches StepFrom(DataCursor cursor)
    {
        var (epochPlan, leftOut) = (PlanOf(cursor.Epoch), LeftOut);
        var first = epochPlan.MicroBatchAt(cursor.Examples);
        var end = Math.Min(first + MicroBatchesPerStep, epochPlan.MicroBatches);
        var mine = new List<MicroBatch>();
        for (var i = first + rank; i < end; i += worldSize)
        {
            mine.Add(Build(epochPlan.MicroBatch(i), leftOut));
        }

        // Every rank runs as many as rank 0, which has the most.
        var everyRank = (end - first + worldSize - 1) / worldSize;
        while (mine.Count < everyRank)
        {
            mine.Add(MicroBatch.Filler(paddingId));
        }

        var used = epochPlan.ExamplesBefore(end);
        var (supervised, all) = (0, 0);
        for (var i = first; i < end; i++)
        {
            foreach (var index in epochPlan.MicroBatch(i))
            {
                if (leftOut.Contains(index))
                {
                    continue;
                }

                supervised += examples.SupervisedTokensOf(index);
                all += tokens[index];
            }
        }

        return new StepBatches(
            mine,
            supervised,
            used - cursor.Examples,
            used == epochPlan.Examples ? new DataCursor(cursor.Epoch + 1, 0) : cursor with { Examples = used },
            cursor.Epoch + ((double)used / epochPlan.Examples)
        )
        {
            Tokens = all,
        };
    }

    private MicroBatch Build(ReadOnlySpan<int> span, IReadOnlySet<int> leftOut)
    {
        var indices = span.ToArray();
        indices = leftOut.Count == 0 ? indices : Array.FindAll(indices, index => !leftOut.Contains(index));
        return indices.Length == 0
            ? MicroBatch.Filler(paddingId)
            : MicroBatch.Of(Array.ConvertAll(indices, index => examples[index]), indices);
    }

    private EpochPlan PlanOf(int epoch)
    {
        lock (planning)
        {
            if (epoch != plannedEpoch)
            {
                plan = EpochPlan.Create(tokens, options, epoch);
                plannedEpoch = epoch;
            }

            return plan;
        }
    }
}
