using GlmTune.Evaluation;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Passes the events on, and reports progress.</summary>
/// <param name="inner">Receives the events; null: nobody.</param>
/// <param name="progress">Receives the progress; null: nobody.</param>
internal sealed class ProgressReporter(IFineTuneReporter? inner, IProgress<FineTuneProgress>? progress)
    : IFineTuneReporter
{
    private FineTuneProgress now;

    public void Note(string text) => inner?.Note(text);

    public void Started(FineTuneStart start)
    {
        inner?.Started(start);
        now = new FineTuneProgress(start.DoneSteps, start.TotalSteps);
        progress?.Report(now);
    }

    public void Stepped(StepReport report)
    {
        inner?.Stepped(report);
        now = now with { Steps = report.Step, LastStep = report, Evaluation = null };
        progress?.Report(now);
    }

    public void Rewound(long atStep) => inner?.Rewound(atStep);

    public void Logged(long atStep, IReadOnlyDictionary<string, double> values) => inner?.Logged(atStep, values);

    public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values) => inner?.Evaluated(atStep, values);

    public void Evaluating(EvaluationProgress evaluation)
    {
        inner?.Evaluating(evaluation);
        progress?.Report(now with { Evaluation = evaluation });
    }

    public void Answered(long atStep, IReadOnlyList<EvaluatedAnswer> samples) => inner?.Answered(atStep, samples);

    public void Tested(IReadOnlyDictionary<string, double> values) => inner?.Tested(values);

    public void Saved(string folder) => inner?.Saved(folder);
}
