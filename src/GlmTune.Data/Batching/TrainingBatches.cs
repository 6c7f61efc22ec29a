using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>Feeds one rank, step after step, epoch after epoch, from any <see cref="DataCursor"/> on.</summary>
/// <remarks>
/// The micro-batches of a step are those of the epoch's plan in order; micro-batch m goes to rank m mod N. So the
/// examples of a step do not depend on how many ranks share it, as long as ranks × accumulation is the same. Nothing is
/// dropped: the last step of an epoch may be smaller. While a step is used the next is put together on another thread.
/// Not thread-safe; <see cref="Cursor"/> may be set at any time. </remarks>
public sealed class TrainingBatches
{
    private readonly IReadOnlyList<TokenizedExample> examples;
    private readonly BatchOptions options;
    private readonly int paddingId;
    private readonly int rank;
    private readonly int worldSize;
    private readonly int[] tokens;
    private readonly Lock planning = new();
    private EpochPlan plan;
    private int plannedEpoch;
    private (DataCursor From, Task<StepBatches> Step)? ahead;

    /// <summary>Starts at the first example of epoch 0.</summary>
    /// <param name="examples">The split; at least one example.</param>
    /// <param name="options">How examples are put together.</param>
    /// <param name="paddingId">The id that a micro-batch without examples is made of.</param>
    /// <param name="rank">This process, from 0.</param>
    /// <param name="worldSize">Number of processes.</param>
    /// <exception cref="ArgumentException">There is no example, a number is not positive, the rank is not in the world,
    /// or an example is longer than a packed row.</exception>
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
            examples,
            options,
            paddingId,
            rank,
            worldSize
        );
        tokens = [.. examples.Select(example => example.TokenIds.Length)];
        plan = EpochPlan.Create(tokens, options, epoch: 0);
        if (plan.Examples == 0)
        {
            throw new ArgumentException(
                $"{examples.Count} examples do not fill a micro-batch of {options.RowsPerMicroBatch}, and smaller ones "
                    + "are left out.",
                nameof(examples)
            );
        }
    }

    /// <summary>Where the data stands: the next step begins here.</summary>
    /// <exception cref="ArgumentException">Set to a place that is not in the data.</exception>
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

    /// <summary>Moves <see cref="Cursor"/> where a step can begin there.</summary>
    /// <returns>False where none can, and nothing was moved: the cursor is from a run whose data was put together in
    /// another way.</returns>
    public bool TryGoTo(DataCursor cursor)
    {
        if (cursor.Epoch < 0 || cursor.Examples < 0 || !PlanOf(cursor.Epoch).BeginsAt(cursor.Examples))
        {
            return false;
        }

        Cursor = cursor;
        return true;
    }

    /// <summary>Moves <see cref="Cursor"/> to the last micro-batch that begins at or before a fraction of an
    /// epoch.</summary>
    /// <param name="epoch">Which pass, from 0.</param>
    /// <param name="fraction">How much of its examples is used, from 0 to 1; 1 is the beginning of the next
    /// pass.</param>
    public void GoTo(int epoch, double fraction)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(fraction);
        Cursor =
            fraction >= 1
                ? new DataCursor(epoch + 1, 0)
                : new DataCursor(epoch, PlanOf(epoch).LastStartUpTo(fraction * PlanOf(epoch).Examples));
    }

    /// <summary>How well packed micro-batches of the current epoch are filled.</summary>
    /// <exception cref="InvalidOperationException">Rows are not packed.</exception>
    public PackingReport Packing
    {
        get
        {
            var limit = options.PackedTokens ?? throw new InvalidOperationException("Rows are padded, not packed.");
            var current = PlanOf(Cursor.Epoch);
            return new PackingReport(
                tokens.Length,
                current.MicroBatches.Count,
                limit,
                tokens.Sum(count => (double)count) / ((double)current.MicroBatches.Count * limit)
            );
        }
    }

    private int MicroBatchesPerStep => worldSize * options.AccumulationSteps;

    /// <summary>Steps of a pass, the last perhaps a smaller one.</summary>
    public int StepsIn(int epoch) => (PlanOf(epoch).MicroBatches.Count + MicroBatchesPerStep - 1) / MicroBatchesPerStep;

    /// <summary>Steps of a number of passes, of which the last may be incomplete; at least 1.</summary>
    public int StepsFor(double epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epochs);
        var whole = (int)epochs;
        var steps = Enumerable.Range(0, whole).Sum(StepsIn);
        return epochs > whole ? steps + LastSteps(epochs) : steps;
    }

    /// <summary>Steps from <see cref="Cursor"/> to the end of a number of passes; 0 where it is beyond that.</summary>
    /// <remarks>From the first example on it is <see cref="StepsFor"/>. A run that resumes with another number of ranks
    /// has other steps left, but the same examples.</remarks>
    /// <exception cref="ArgumentException">The cursor is from a run whose data was put together in another
    /// way.</exception>
    public int StepsLeft(double epochs)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(epochs);
        var (whole, steps) = ((int)epochs, 0);
        for (var epoch = Cursor.Epoch; epoch < epochs; epoch++)
        {
            var end = PlanOf(epoch).MicroBatches.Count;
            end = epoch < whole ? end : Math.Min(end, LastSteps(epochs) * MicroBatchesPerStep);
            var first = epoch == Cursor.Epoch ? PlanOf(epoch).MicroBatchAt(Cursor.Examples) : 0;
            steps += Math.Max(0, end - first + MicroBatchesPerStep - 1) / MicroBatchesPerStep;
        }

        return steps;
    }

    private int LastSteps(double epochs) => (int)Math.Ceiling((epochs - (int)epochs) * StepsIn((int)epochs));

    /// <summary>This rank's part of the next step; moves <see cref="Cursor"/> past it.</summary>
    /// <exception cref="ArgumentException">The cursor is from a run whose data was put together in another
    /// way.</exception>
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

    private StepBatches StepFrom(DataCursor cursor)
    {
        var epochPlan = PlanOf(cursor.Epoch);
        var first = epochPlan.MicroBatchAt(cursor.Examples);
        var end = Math.Min(first + MicroBatchesPerStep, epochPlan.MicroBatches.Count);
        var mine = new List<MicroBatch>();
        for (var i = first + rank; i < end; i += worldSize)
        {
            mine.Add(Build(epochPlan.MicroBatches[i]));
        }

        // Every rank runs as many as the one with the most, which is rank 0.
        var everyRank = (end - first + worldSize - 1) / worldSize;
        while (mine.Count < everyRank)
        {
            mine.Add(MicroBatch.Filler(paddingId));
        }

        var used = epochPlan.ExamplesBefore(end);
        var (supervised, all) = (0, 0);
        for (var i = first; i < end; i++)
        {
            supervised += epochPlan.MicroBatches[i].Sum(index => examples[index].SupervisedTokens);
            all += epochPlan.MicroBatches[i].Sum(index => tokens[index]);
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

    private MicroBatch Build(int[] indices) =>
        MicroBatch.Of(Array.ConvertAll(indices, index => examples[index]), indices);

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
