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

    private long peakBytes; // libtorch keeps what a step reserved, so that the ends of steps show the peak.

    /// <summary>Resumes from a checkpoint.</summary>
    public void Resume(TrainerStateFile history, TrainingState? state) =>
        (History, UnloggedLoss, UnloggedSteps) = (history, state?.UnloggedLoss ?? 0, state?.UnloggedSteps ?? 0);

    /// <summary>Counts a step; the loss of a skipped one is left out of means.</summary>
    public void Add(StepReport report)
    {
        if (!report.Skipped)
        {
            (UnloggedLoss, UnloggedSteps) = (UnloggedLoss + report.Loss, UnloggedSteps + 1);
        }

        History.Epoch = report.Epoch;
        History.TokensSeen += report.Tokens;
    }

    /// <summary>Creates the log entry for the steps since the last one.</summary>
    /// <param name="report">The last of them.</param>
    /// <param name="memory">Bytes in use on the GPU after it; null: there is none.</param>
    /// <param name="matmul">TFLOP/s of a matrix product on the GPU; 0: there is none.</param>
    public IReadOnlyDictionary<string, double> Line(StepReport report, long? memory, double matmul)
    {
        var values = new Dictionary<string, double>
        {
            // NaN if all of them were skipped.
            ["loss"] = UnloggedSteps == 0 ? double.NaN : Math.Round(UnloggedLoss / UnloggedSteps, 4),
            ["grad_norm"] = report.GradientNorm,
            ["learning_rate"] = report.LearningRate,
        };
        if (memory is { } bytes)
        {
            peakBytes = Math.Max(peakBytes, bytes);
            values["memory_gib"] = Gibibytes(bytes);
            values["peak_memory_gib"] = Gibibytes(peakBytes);
            foreach (var (name, value) in report.Memory?.Values(memory) ?? [])
            {
                values[name] = value;
            }
        }

        if (matmul > 0)
        {
            values["matmul_share"] = Math.Round(report.Flops / report.Elapsed.TotalSeconds / 1e12 / matmul, 4);
        }

        (UnloggedLoss, UnloggedSteps) = (0, 0);
        History.Log(report.Step, report.Epoch, values);
        return values;

        static double Gibibytes(long bytes) => Math.Round(bytes / (double)(1 << 30), 2);
    }
}
