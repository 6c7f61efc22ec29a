namespace GlmTune.Training.Optimization;

/// <summary>Options of the learning-rate schedule, with the defaults of Hugging Face's training arguments.</summary>
/// <remarks>Immutable.</remarks>
public sealed record ScheduleOptions
{
    /// <summary>The shape after warm-up. Default: linear.</summary>
    public ScheduleKind Kind { get; init; } = ScheduleKind.Linear;

    /// <summary>Number of linear warm-up steps; 0: <see cref="WarmupRatio"/> applies. Default: 0.</summary>
    public int WarmupSteps { get; init; }

    /// <summary>Fraction of all steps used for warm-up, 0 to 1; <see cref="WarmupSteps"/> takes precedence if it is not
    /// 0. Default: 0.</summary>
    public double WarmupRatio { get; init; }

    /// <summary>Number of cosine periods (<c>num_cycles</c>); null: 0.5 for <see cref="ScheduleKind.Cosine"/>, which
    /// ends at 0, and 1 for <see cref="ScheduleKind.CosineWithRestarts"/>.</summary>
    public double? Cycles { get; init; }

    /// <summary>Power of the polynomial (<c>power</c>). Default: 1.</summary>
    public double Power { get; init; } = 1;

    /// <summary>Final learning rate of the polynomial (<c>lr_end</c>); below the peak. Default: 1e-7.</summary>
    public double EndLearningRate { get; init; } = 1e-7;

    /// <summary>Number of warm-up steps in a run of <paramref name="totalSteps"/> steps; a fraction is rounded
    /// up.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="totalSteps"/> is negative.</exception>
    public int WarmupOf(int totalSteps)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(totalSteps);
        return WarmupSteps > 0 ? WarmupSteps : (int)Math.Ceiling(totalSteps * WarmupRatio);
    }
}

/// <summary>The shapes of a learning-rate schedule after warm-up, with Hugging Face's names.</summary>
public enum ScheduleKind
{
    /// <summary>Linear decay to 0 (<c>linear</c>).</summary>
    Linear,

    /// <summary>Half a cosine, down to 0 (<c>cosine</c>).</summary>
    Cosine,

    /// <summary>Cosines that restart at the peak (<c>cosine_with_restarts</c>).</summary>
    CosineWithRestarts,

    /// <summary>A power of the remaining fraction, down to a final value (<c>polynomial</c>).</summary>
    Polynomial,

    /// <summary>Constant, without warm-up (<c>constant</c>).</summary>
    Constant,

    /// <summary>Constant after warm-up (<c>constant_with_warmup</c>).</summary>
    ConstantWithWarmup,
}
