using System.Globalization;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Sentinel;

namespace GlmTune.Recipes.Training;

/// <summary>Decides what follows a step whose loss or gradient norm is not finite, or a spike: the run stops, skips the
/// step, or goes back to its newest checkpoint and leaves rows out.</summary>
/// <remarks>All ranks see the same numbers and make the same calls.</remarks>
/// <param name="setup">What the run consists of.</param>
/// <param name="saves">The saves of the run.</param>
internal sealed class RunSentinel(RunSetup setup, RunSaves saves)
{
    // A run that skips so many is not learning.
    private const int MostSkippedInARow = 10;

    private readonly RunRanks ranks = setup.Ranks;
    private readonly TrainingOptions training = setup.Recipe.Training;
    private int skippedInARow;

    /// <summary>Records a step that was not rejected.</summary>
    public void Accepted(StepReport report)
    {
        skippedInARow = 0;
        if (report.Skipped)
        {
            setup.Reporter.Note($"step {report.Step} has no rows to learn from: all of them are left out");
        }
    }

    /// <summary>Acts on a rejected step as the recipe says.</summary>
    /// <param name="trouble">What this rank found.</param>
    /// <param name="stop">Ends a pause because of a failing disk.</param>
    /// <returns>The skipped step; null if the run went back to a checkpoint.</returns>
    /// <exception cref="RejectedStepException">The run stops.</exception>
    public StepReport? Handle(StepTrouble trouble, CancellationToken stop)
    {
        var (key, policy) = trouble.IsSpike
            ? ("spike_policy", training.SpikePolicy)
            : ("nonfinite_policy", training.NonFinitePolicy);
        var (text, rows) = Describe(trouble);
        switch (policy)
        {
            case BadStepPolicy.Skip when trouble.Changed:
                throw Stop(trouble, $"{text} It cannot be skipped any more ({key}: skip).");
            case BadStepPolicy.Skip when skippedInARow == MostSkippedInARow:
                throw Stop(trouble, $"{text} The {MostSkippedInARow} steps before were skipped too ({key}: skip).");
            case BadStepPolicy.Skip:
                skippedInARow++;
                var skipped = setup.Trainer.Skip(trouble.Report);
                setup.Reporter.Note($"{text} The step is skipped ({key}: skip); {setup.Trainer.Skipped} so far.");
                return skipped;
            case BadStepPolicy.Rewind:
                Rewind(trouble, key, text, rows, stop);
                return null;
            default:
                throw Stop(
                    trouble,
                    $"{text} A lower learning rate, or float32 or bfloat16 weights, usually help; {key}: skip or "
                        + "rewind continues without the step or its rows."
                );
        }
    }

    private void Rewind(StepTrouble trouble, string key, string text, IReadOnlyList<int> rows, CancellationToken stop)
    {
        if (setup.Rewinds >= training.MaxRewinds)
        {
            throw Stop(
                trouble,
                $"{text} The run has gone back as often as it may ({key}: rewind, max_rewinds: "
                    + $"{training.MaxRewinds})."
            );
        }

        saves.Finish(stop);
        var checkpoint = setup.Search.Find(training.OutputFolder, "yes");
        if (checkpoint is null || !ranks.FirstFinds(() => OptimizerFile.IsIn(checkpoint)))
        {
            throw Stop(trouble, $"{text} There is no checkpoint to go back to ({key}: rewind).");
        }

        setup.Rewind(checkpoint, rows);
        setup.Reporter.Rewound(setup.Trainer.Done);
        setup.Reporter.Note(
            $"{text} The run goes back to {checkpoint} and leaves out {NameOf(rows)} ({key}: rewind; "
                + $"{setup.Rewinds} of at most {training.MaxRewinds})."
        );
    }

    private static RejectedStepException Stop(StepTrouble trouble, string text) => new(trouble, text);

    // The message, and the rows in which it began: those of the step if no layer is known. The same on all ranks.
    private (string Text, IReadOnlyList<int> Rows) Describe(StepTrouble trouble)
    {
        var origins = ranks
            .FromAll(trouble.Origin is { } own ? [Number(ranks.Rank), own.Where, .. own.Examples.Select(Number)] : [])
            .ToList();
        var all = RowsOf(ranks.FromAll([.. trouble.Examples.Select(Number)]));
        if (origins.Count == 0)
        {
            // Ranks may name different parameters; rank 0's is told.
            var named = ranks.FromFirst(() => trouble.Largest is { } name ? [name] : []);
            return ((trouble with { Largest = named.Count == 0 ? null : named[0] }).Describe(null, NameOf(all)), all);
        }

        var sentences = origins.Select(origin =>
            $"It began in {origin[1]}"
            + (ranks.IsAlone ? "" : $" on rank {origin[0]}")
            + $", with {NameOf(RowsOf([origin[2..]]))}."
        );
        return (
            trouble.Describe(string.Join(' ', sentences), NameOf(all)),
            RowsOf(origins.Select(origin => origin[2..]))
        );
    }

    private string NameOf(IEnumerable<int> rows) =>
        $"lines {StepTrouble.Lines(rows.Select(row => setup.Data.Examples[row].Line))} of "
        + setup.Recipe.Data.TrainFile;

    private static List<int> RowsOf(IEnumerable<string[]> texts) =>
        [
            .. texts
                .SelectMany(rows => rows)
                .Select(row => int.Parse(row, CultureInfo.InvariantCulture))
                .Distinct()
                .Order(),
        ];

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
