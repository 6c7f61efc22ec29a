namespace GlmTune.Training.Optimization;

/// <summary>Settings of AdamW and of gradient clipping, with the defaults of Hugging Face's training
/// arguments.</summary>
/// <remarks>Immutable. Source: Loshchilov and Hutter, arXiv:1711.05101.</remarks>
public sealed record OptimizerOptions
{
    /// <summary>Peak learning rate, which the schedule scales; at least 0. Default: 5e-5.</summary>
    public double LearningRate { get; init; } = 5e-5;

    /// <summary>Decay of the first moment, from 0 to below 1. Default: 0.9.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the second moment, from 0 to below 1. Default: 0.999.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the square root of the second moment; positive. Default: 1e-8.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Decoupled weight decay, applied to everything except biases and norm weights; at least 0. Default:
    /// 0.</summary>
    public double WeightDecay { get; init; }

    /// <summary>How many bytes the optimizer's state takes. Default: full precision.</summary>
    public StateOptions State { get; init; } = new();

    /// <summary>Maximum global gradient norm; larger gradients are scaled down. 0 disables clipping (the norm is still
    /// reported). Default: 1.</summary>
    public double MaxGradientNorm { get; init; } = 1;
}
