namespace GlmTune.Training;

/// <summary>Results of one step.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Loss">Mean loss per supervised token, over all ranks.</param>
/// <param name="GradientNorm">Gradient norm before clipping.</param>
/// <param name="LearningRate">Learning rate of the next step, as the Python demo logs it.</param>
/// <param name="Epoch">Passes over the data so far.</param>
/// <param name="Tokens">Tokens processed over all ranks, without padding.</param>
/// <param name="SupervisedTokens">Supervised tokens over all ranks.</param>
/// <param name="Examples">Examples over all ranks.</param>
/// <param name="Elapsed">Duration of the step.</param>
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
)
{
    /// <summary>What the memory of this rank's device holds after the step; null: not counted.</summary>
    public MemoryUse? Memory { get; init; }

    /// <summary>Whether weights and optimizer state were left as they were.</summary>
    public bool Skipped { get; init; }

    /// <summary>Floating-point operations of this rank in the step, recomputation not counted.</summary>
    public double Flops { get; init; }
}
