using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>The factor of a summed loss's gradient: a number, or one in device memory that a captured graph reads at
/// each replay.</summary>
/// <param name="Value">The factor; ignored if there is a stored one.</param>
/// <param name="Stored">float32 (or wider) [1] on the device; with it, rows with a target below 0 are ignored. Null:
/// the value is used.</param>
internal readonly record struct LossScale(double Value, Tensor? Stored = null)
{
    /// <summary>A plain number.</summary>
    public static implicit operator LossScale(double value) => new(value);
}
