using System.Text.Json.Nodes;
using GlmTune.Checkpoints;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;

namespace GlmTune.Recipes.Evaluating;

/// <summary>The weights that the test file is scored with: the last, or with <c>load_best_model_at_end</c> those of the
/// best evaluation that are intact on disk.</summary>
/// <param name="Step">The step of these weights.</param>
/// <param name="Instead">Why they are not those of the best evaluation; null if they are, or if the best were not
/// requested.</param>
internal sealed record TestedWeights(long Step, string? Instead)
{
    /// <summary>What the file of scores records about them.</summary>
    public JsonObject Describe() =>
        Instead is null ? new() { ["step"] = Step } : new() { ["step"] = Step, ["note"] = Instead };

    /// <summary>Loads them if they are not the current weights.</summary>
    /// <param name="training">Whether the best weights are requested, and by which metric.</param>
    /// <param name="history">All evaluations of the run.</param>
    /// <param name="trainer">Holds the current weights, and receives others.</param>
    /// <param name="ranks">The ranks; all make this call.</param>
    /// <param name="search">Checks whether checkpoints are intact.</param>
    /// <param name="note">Called with what was loaded, and why it is not the best.</param>
    /// <exception cref="InvalidDataException">The state of an intact checkpoint is for other parameters.</exception>
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

    // Best first. The run's recorded best counts even if it is missing from the log.
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
