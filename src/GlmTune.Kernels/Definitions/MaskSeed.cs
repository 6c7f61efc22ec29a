using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>The seed of a dropout mask: a number, or a key in device memory that a captured graph reads at each
/// replay.</summary>
/// <param name="Value">The seed; ignored if there is a stored key.</param>
/// <param name="Stored">The result of <see cref="DropoutMask.Key"/> for a seed, as the bits of one int32 [1] on the
/// device; null: the seed is used.</param>
internal readonly record struct MaskSeed(long Value, Tensor? Stored = null)
{
    /// <summary>A plain number.</summary>
    public static implicit operator MaskSeed(long value) => new(value);

    /// <summary>The key by value, for a kernel that does not read one from memory.</summary>
    internal uint Key => Stored is null ? DropoutMask.Key(Value) : 0;

    /// <summary>The key as an int64 tensor of one element on a device; in the caller's dispose scope.</summary>
    internal Tensor KeyOn(Device device) =>
        Stored?.to_type(ScalarType.Int64)
        ?? TensorCreation.Full([1], (long)DropoutMask.Key(Value), ScalarType.Int64, device);
}
