namespace GlmTune.Training.Optimization;

/// <summary>How many bytes optimizer state takes. Both settings apply to matrices; biases and norm weights, which take
/// little, keep float32 state and master weights.</summary>
/// <remarks>Immutable.</remarks>
public sealed record StateOptions
{
    /// <summary>Type of AdamW's two moments. Default: <see cref="StateType.Float32"/>.</summary>
    public StateType Moments { get; init; }

    /// <summary>Whether trained weights of the model have master copies in float32, with gradients summed in float32.
    /// If not, the weights in the layers' type are the only copy: they are rounded stochastically when they are
    /// updated, and so are sums of gradients in that type. Default: true.</summary>
    public bool MasterWeights { get; init; } = true;

    /// <summary>Whether both are in full precision.</summary>
    public bool IsFull => this is { Moments: StateType.Float32, MasterWeights: true };
}

/// <summary>Types of AdamW's moments.</summary>
public enum StateType
{
    /// <summary>float32: 8 bytes a parameter.</summary>
    Float32,

    /// <summary>bfloat16, rounded stochastically: 4 bytes a parameter.</summary>
    BFloat16,

    /// <summary>Codes of one byte, in blocks of 256 (<see cref="Kernels.Definitions.BlockCodes"/>): 2.03 bytes a
    /// parameter.</summary>
    Int8,
}
