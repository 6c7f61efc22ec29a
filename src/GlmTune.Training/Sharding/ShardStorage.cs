using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Types and places of what a <see cref="FlatShard"/> consists of.</summary>
/// <remarks>Immutable.</remarks>
internal sealed record ShardStorage
{
    /// <summary>Type of the moments; ignored for float64.</summary>
    public StateType Moments { get; init; }

    /// <summary>Whether there are no master weights: the weights in the layers' type are updated.</summary>
    public bool OnlyCopy { get; init; }

    /// <summary>This rank's slice of the values [n], of any type; null: read from the parameters. With
    /// <see cref="OnlyCopy"/> this tensor is updated, and the caller still owns it.</summary>
    public Tensor? Values { get; init; }

    /// <summary>Type in which layers collect their gradients; null: float32 or wider.</summary>
    public ScalarType? GradientType { get; init; }

    /// <summary>Whether master weights and moments are in host memory.</summary>
    public bool OnHost { get; init; }

    /// <summary>Whether that memory is page-locked, as copies to the device need it.</summary>
    public bool Pinned { get; init; }

    /// <summary>With <see cref="OnHost"/> and master weights: host memory [n] in the layers' type in which values are
    /// stored too, owned by the caller; null: they are on the device.</summary>
    public Tensor? Compute { get; init; }

    /// <summary>Whether the gradient only exists between a layer's backward pass and its update.</summary>
    public bool GradientComesAndGoes { get; init; }
}
