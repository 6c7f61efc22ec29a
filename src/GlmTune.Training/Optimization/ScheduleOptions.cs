namespace GlmTune.Training.Optimization;

/// <summary>How the learning rate changes over the steps, with the defaults of Hugging Face's training
/// arguments.</summary>
/// <remarks>Immutable.</remarks>
public sealed record ScheduleOptions
{
    /// <summary>The shape after warm-up. Default linear.</summary>
    public ScheduleKind Kind { get; init; } = ScheduleKind.Linear;

    /// <summary>Steps of linear warm-up; 0 leaves it to <see cref="WarmupRatio"/>. Default 0.</summary>
    public int WarmupSteps { get; init; }

    /// <summary>Share of all steps that is warm-up, from 0 to 1; <see cref="WarmupSteps"/> wins when it is not 0.
    /// Default 0.</summary>
    public double WarmupRatio { get; init; }

    /// <summary>Waves of the cosine (<c>num_cycles</c>); null is 0.5 for <see cref="ScheduleKind.Cosine"/>, which ends
    /// at 0, and 1 for <see cref="ScheduleKind.CosineWithRestarts"/>.</summary>
    public double? Cycles { get; init; }

    /// <summary>Power of the polynomial (<c>power</c>). Default 1.</summary>
    public double Power { get; init; } = 1;

    /// <summary>Learning rate at the end of the polynomial (<c>lr_end</c>); below the highest one. Default
    /// 1e-7.</summary>
    public double EndLearningRate { get; init; } = 1e-7;

    /// <summary>Steps of warm-up in a run of <paramref name="totalSteps"/> steps; a share is rounded up.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="totalSteps"/> is negative.</exception>
    public int WarmupOf(int totalSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(totalSteps);
        return WarmupSteps > 0 ? WarmupSteps : (int)Math.Ceiling(totalSteps * WarmupRatio);
    }
}

/// <summary>The shape of a learning-rate schedule after its warm-up, under Hugging Face's names.</summary>
public enum ScheduleKind
{
    /// <summary>Straight down to 0 (<c>linear</c>).</summary>
    Linear,

    /// <summary>Half a cosine down to 0 (<c>cosine</c>).</summary>
    Cosine,

    /// <summary>Cosines that start again at the top (<c>cosine_with_restarts</c>).</summary>
    CosineWithRestarts,

    /// <summary>A power of the remaining share, down to an end value (<c>polynomial</c>).</summary>
    Polynomial,

    /// <summary>Level, without warm-up (<c>constant</c>).</summary>
    Constant,

    /// <summary>Level after warm-up (<c>constant_with_warmup</c>).</summary>
    ConstantWithWarmup,
}
