using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>The seed of a dropout mask: a number, or a key in device memory that a captured graph reads at each
/// replay.</summary>
/// <param name="Value">The seed; ignored if there is a stored key.</param>
/// <param name="Stored">The result of <see cref="DropoutMask.Key"/> for a seed, as the bits of one int32 [1] on the
/// device; null: the seed is used.</param>
/// <param name="First">Index of the first element in the mask of a larger tensor, of which this is a part; needs a seed
/// by value.</param>
internal readonly record struct MaskSeed(long Value, Tensor? Stored = null, long First = 0)
{
    /// <summary>A plain number.</summary>
    public static implicit operator MaskSeed(long value) => new(value);

    /// <summary>The key by value, for a kernel that does not read one from memory.</summary>
    /// <remarks>An element's index enters the hash as a multiple, to which the key is added, so that a later first
    /// element is another key.</remarks>
    internal uint Key =>
        Stored is null ? unchecked(DropoutMask.Key(Value) + (uint)(First * PositionHash.Spread))
        : First == 0 ? 0u
        : throw new InvalidOperationException("A part of a tensor needs a mask seed by value.");

    /// <summary>The key as an int64 tensor of one element on a device; in the caller's dispose scope.</summary>
    internal Tensor KeyOn(Device device) =>
        Stored?.to_type(ScalarType.Int64) ?? TensorCreation.Full([1], (long)Key, ScalarType.Int64, device);
}
