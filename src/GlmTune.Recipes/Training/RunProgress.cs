using GlmTune.Checkpoints;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>The progress of a run, for log entries and <c>trainer_state.json</c>; the same on each rank.</summary>
internal sealed class RunProgress
{
    /// <summary>The content of <c>trainer_state.json</c>.</summary>
    public TrainerStateFile History { get; private set; } = new();

    /// <summary>Losses since the last log entry.</summary>
    public double UnloggedLoss { get; private set; }

    /// <summary>Steps since the last log entry.</summary>
    public int UnloggedSteps { get; private set; }

    /// <summary>Resumes from a checkpoint.</summary>
    public void Resume(TrainerStateFile history, TrainingState? state) =>
        (History, UnloggedLoss, UnloggedSteps) = (history, state?.UnloggedLoss ?? 0, state?.UnloggedSteps ?? 0);

    /// <summary>Counts a step.</summary>
    public void Add(StepReport report)
    {
        (UnloggedLoss, UnloggedSteps) = (UnloggedLoss + report.Loss, UnloggedSteps + 1);
        History.Epoch = report.Epoch;
        History.TokensSeen += report.Tokens;
    }

    /// <summary>Creates the log entry for the steps since the last one.</summary>
    public IReadOnlyDictionary<string, double> Line(StepReport report)
    {
        var values = new Dictionary<string, double>
        {
            ["loss"] = Math.Round(UnloggedLoss / UnloggedSteps, 4),
            ["grad_norm"] = report.GradientNorm,
            ["learning_rate"] = report.LearningRate,
        };
        (UnloggedLoss, UnloggedSteps) = (0, 0);
        History.Log(report.Step, report.Epoch, values);
        return values;
    }
}
