using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Decides a dropout mask: a number, or a key that lies in memory, where captured work finds another at each
/// replay.</summary>
/// <param name="Value">The seed; without meaning where there is a stored key.</param>
/// <param name="Stored">What <see cref="DropoutMask.Key"/> gives for a seed, the bits of one int32 [1] on the device;
/// null: the seed counts.</param>
public readonly record struct MaskSeed(long Value, Tensor? Stored = null)
{
    /// <summary>A plain number.</summary>
    public static implicit operator MaskSeed(long value) => new(value);

    /// <summary>The key by value, for a kernel that finds none in memory.</summary>
    internal uint Key => Stored is null ? DropoutMask.Key(Value) : 0;
}
