namespace GlmTune.Training;

/// <summary>What one step did.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Loss">Mean loss of its supervised tokens, over all ranks.</param>
/// <param name="GradientNorm">Before clipping.</param>
/// <param name="LearningRate">Of the next step, as the Python demo logs it.</param>
/// <param name="Epoch">Passes over the data so far.</param>
/// <param name="Tokens">Real tokens fed, over all ranks.</param>
/// <param name="SupervisedTokens">Over all ranks.</param>
/// <param name="Examples">Over all ranks.</param>
/// <param name="Elapsed">Time the step took.</param>
public sealed record StepReport(
    long Step,
    double Loss,
    double GradientNorm,
    double LearningRate,
    double Epoch,
    int Tokens,
    int SupervisedTokens,
    int Examples,
    TimeSpan Elapsed
);
