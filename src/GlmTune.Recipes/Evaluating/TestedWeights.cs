using System.Text.Json.Nodes;
using GlmTune.Checkpoints;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;

namespace GlmTune.Recipes.Evaluating;

/// <summary>Which weights the test file is answered with: the last, or with <c>load_best_model_at_end</c> those of the
/// best evaluation that are whole on the disk.</summary>
/// <param name="Step">The step after which they were so.</param>
/// <param name="Instead">Why they are not those of the best evaluation; null: they are, or were not asked for.</param>
internal sealed record TestedWeights(long Step, string? Instead)
{
    /// <summary>What the file of scores says of them.</summary>
    public JsonObject Describe() =>
        Instead is null ? new() { ["step"] = Step } : new() { ["step"] = Step, ["note"] = Instead };

    /// <summary>Loads them, if they are not the last.</summary>
    /// <param name="training">Whether the best are asked for, and by what.</param>
    /// <param name="history">All evaluations of the run.</param>
    /// <param name="trainer">Holds the last weights, and gets others.</param>
    /// <param name="ranks">The ranks, which all do the same.</param>
    /// <param name="search">Tells whole checkpoints from damaged ones.</param>
    /// <param name="note">Gets what was loaded, and why it is not the best.</param>
    /// <exception cref="InvalidDataException">A whole checkpoint's state is of other parameters.</exception>
    public static TestedWeights Load(
        TrainingOptions training,
        TrainerStateFile history,
        Trainer trainer,
        RunRanks ranks,
        CheckpointSearch search,
        Action<string> note
    )
    {
        if (!training.LoadBestModelAtEnd || history.BestStep is not { } best)
        {
            return new TestedWeights(trainer.Done, null);
        }

        string? problem = null;
        foreach (var step in Order(WatchedMetric.Of(training), history, best))
        {
            var folder =
                step == best
                && history.BestCheckpoint is { } recorded
                && ranks.FirstFinds(() => Directory.Exists(recorded))
                    ? recorded
                    : CheckpointFolder.PathOf(training.OutputFolder, step);
            var found = step == trainer.Done ? null : FindProblem(folder, ranks, search);
            if (found is not null)
            {
                problem ??=
                    $"the best evaluation was at step {step}, but its checkpoint cannot be used: {folder} "
                    + $"{found}";
                continue;
            }

            if (step != trainer.Done)
            {
                ranks.RunOnAllOrFail(() => OptimizerFile.Read(folder, trainer.Sharding.Trainable));
                trainer.Sharding.ShareUpdates();
                trainer.Runner.RefreshPrefix();
            }

            if (problem is null)
            {
                if (step != trainer.Done)
                {
                    note($"loading the best checkpoint, {folder}, for the test file");
                }

                return new TestedWeights(step, null);
            }

            return Instead(
                step,
                $"{problem}. Testing the weights of step {step} instead, which have the best remaining " + "evaluation"
            );
        }

        return Instead(trainer.Done, $"{problem}. Testing the last weights, of step {trainer.Done}, instead");

        TestedWeights Instead(long step, string text)
        {
            note(text);
            return new TestedWeights(step, text);
        }
    }

    private static string? FindProblem(string folder, RunRanks ranks, CheckpointSearch search) =>
        !ranks.FirstFinds(() => Directory.Exists(folder)) ? "does not exist (save_strategy, save_total_limit)"
        : search.FindProblems(folder) is { } damage ? $"is damaged: {damage}"
        : !ranks.FirstFinds(() => OptimizerFile.IsIn(folder)) ? "has no optimizer state (save_only_model)"
        : null;

    // The best first. What the run took for the best counts, should the log have lost it.
    private static IEnumerable<long> Order(WatchedMetric metric, TrainerStateFile history, long best)
    {
        var others = new Dictionary<long, double>();
        foreach (var line in history.History.OfType<JsonObject>())
        {
            if (
                line[metric.Key] is JsonValue logged
                && logged.TryGetValue<double>(out var value)
                && line["step"] is JsonValue at
                && at.TryGetValue<long>(out var step)
                && step > 0
                && step != best
            )
            {
                others[step] = value;
            }
        }

        return others
            .OrderByDescending(other => metric.Gain(other.Value, 0))
            .ThenBy(other => other.Key)
            .Select(other => other.Key)
            .Prepend(best);
    }
}
