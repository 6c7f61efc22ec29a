namespace GlmTune.Training.Optimization;

/// <summary>Settings of AdamW and of gradient clipping, with the defaults of Hugging Face's training
/// arguments.</summary>
/// <remarks>Immutable. Source: Loshchilov and Hutter, arXiv:1711.05101.</remarks>
public sealed record OptimizerOptions
{
    /// <summary>Highest learning rate, which the schedule scales; not negative. Default 5e-5.</summary>
    public double LearningRate { get; init; } = 5e-5;

    /// <summary>Decay of the mean of the gradients, from 0 to below 1. Default 0.9.</summary>
    public double Beta1 { get; init; } = 0.9;

    /// <summary>Decay of the mean of their squares, from 0 to below 1. Default 0.999.</summary>
    public double Beta2 { get; init; } = 0.999;

    /// <summary>Added to the root of the second moment; positive. Default 1e-8.</summary>
    public double Epsilon { get; init; } = 1e-8;

    /// <summary>Decoupled weight decay, applied to all but biases and norm weights; not negative. Default 0.</summary>
    public double WeightDecay { get; init; }

    /// <summary>Largest norm of the whole gradient; larger ones are scaled down. 0 turns clipping off (the norm is
    /// still reported). Default 1.</summary>
    public double MaxGradientNorm { get; init; } = 1;
}
