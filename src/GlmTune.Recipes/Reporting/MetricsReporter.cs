using System.Diagnostics.Metrics;
using GlmTune.Evaluation;
using GlmTune.Training;

namespace GlmTune.Recipes.Reporting;

/// <summary>Passes the events on, and measures steps and evaluations with a meter.</summary>
internal sealed class MetricsReporter : IFineTuneReporter, IDisposable
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "GlmTune.Training";

    private readonly IFineTuneReporter inner;
    private readonly Meter meter = new(MeterName);
    private readonly Counter<long> steps;
    private readonly Counter<long> tokens;
    private readonly Histogram<double> stepTime;
    private readonly Gauge<double> loss;
    private readonly Gauge<double> gradientNorm;
    private readonly Gauge<double> learningRate;
    private readonly Gauge<double> epoch;
    private readonly Gauge<double> evaluationLoss;

    /// <param name="inner">Receives the events.</param>
    public MetricsReporter(IFineTuneReporter inner)
    {
        this.inner = inner;
        steps = meter.CreateCounter<long>("glmtune.training.steps", "{step}", "Optimizer steps.");
        tokens = meter.CreateCounter<long>("glmtune.training.tokens", "{token}", "Tokens of the steps.");
        stepTime = meter.CreateHistogram<double>("glmtune.training.step.duration", "s", "Time of a step.");
        loss = Gauge("loss", "Loss of the last step.");
        gradientNorm = Gauge("gradient_norm", "Norm of the last step's gradient before clipping.");
        learningRate = Gauge("learning_rate", "Learning rate of the last step.");
        epoch = Gauge("epoch", "Epochs done.");
        evaluationLoss = Gauge("eval_loss", "Loss of the last evaluation.");
    }

    /// <inheritdoc/>
    public void Dispose() => meter.Dispose();

    /// <inheritdoc/>
    public void Note(string text) => inner.Note(text);

    /// <inheritdoc/>
    public void Started(FineTuneStart start) => inner.Started(start);

    /// <inheritdoc/>
    public void Stepped(StepReport report)
    {
        inner.Stepped(report);
        steps.Add(1);
        tokens.Add(report.Tokens);
        stepTime.Record(report.Elapsed.TotalSeconds);
        if (!report.Skipped)
        {
            loss.Record(report.Loss);
            gradientNorm.Record(report.GradientNorm);
        }

        learningRate.Record(report.LearningRate);
        epoch.Record(report.Epoch);
    }

    /// <inheritdoc/>
    public void Rewound(long atStep) => inner.Rewound(atStep);

    /// <inheritdoc/>
    public void Logged(long atStep, IReadOnlyDictionary<string, double> values) => inner.Logged(atStep, values);

    /// <inheritdoc/>
    public void Evaluated(long atStep, IReadOnlyDictionary<string, double> values)
    {
        inner.Evaluated(atStep, values);
        if (values.TryGetValue("eval_loss", out var value))
        {
            evaluationLoss.Record(value);
        }
    }

    /// <inheritdoc/>
    public void Evaluating(EvaluationProgress progress) => inner.Evaluating(progress);

    /// <inheritdoc/>
    public void Answered(long atStep, IReadOnlyList<EvaluatedAnswer> samples) => inner.Answered(atStep, samples);

    /// <inheritdoc/>
    public void Tested(IReadOnlyDictionary<string, double> values) => inner.Tested(values);

    /// <inheritdoc/>
    public void Saved(string folder) => inner.Saved(folder);

    private Gauge<double> Gauge(string name, string description) =>
        meter.CreateGauge<double>($"glmtune.training.{name}", description: description);
}
