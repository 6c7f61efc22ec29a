using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A weight matrix W [out, in] that is not trained, stored in fewer bits than products take.</summary>
internal abstract class FrozenMatrix : IDisposable
{
    /// <param name="rows">Number of output features.</param>
    /// <param name="columns">Number of input features.</param>
    private protected FrozenMatrix(long rows, long columns) => (Rows, Columns) = (rows, columns);

    /// <summary>Number of output features.</summary>
    public long Rows { get; }

    /// <summary>Number of input features.</summary>
    public long Columns { get; }

    /// <summary>Bytes that it takes.</summary>
    public long Bytes => Tensors.Sum(tensor => tensor.numel() * tensor.element_size());

    /// <summary>Everything that it is stored in; owned by this object.</summary>
    internal abstract IReadOnlyList<Tensor> Tensors { get; }

    /// <summary>Quantizes a weight, a few rows at a time, so that little more than the result is needed.</summary>
    /// <param name="weight">[out, in], any floating-point type, finite; remains owned by the caller.</param>
    /// <param name="type">How to store it.</param>
    /// <param name="backward">Whether gradients are computed through it; fp8 then keeps its transpose as well.</param>
    public static FrozenMatrix Quantize(Tensor weight, FrozenType type, bool backward = true) =>
        type switch
        {
            FrozenType.Fp8 => Fp8Matrix.Quantize(weight, keepTransposed: backward),
            FrozenType.Nf4 => Nf4Matrix.Quantize(weight),
            FrozenType.Int8 => Int8Matrix.Quantize(weight),
            _ => throw new ArgumentOutOfRangeException(nameof(type), type, null),
        };

    /// <summary>Writes the weight, by plain operators and in float32 or wider until it is rounded to the target's
    /// type.</summary>
    /// <param name="target">[out, in], contiguous, any floating-point type.</param>
    public abstract void WriteTo(Tensor target);

    /// <summary>The dequantized weight, [out, in], in the caller's dispose scope.</summary>
    public Tensor Dequantized(ScalarType type)
    {
        using var scope = NewDisposeScope();
        var result = empty([Rows, Columns], type, Tensors[0].device);
        WriteTo(result);
        return result.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in Tensors)
        {
            tensor.Dispose();
        }

        GC.SuppressFinalize(this);
    }
}

/// <summary>How a <see cref="FrozenMatrix"/> is stored.</summary>
internal enum FrozenType
{
    /// <summary>e4m3 with one scale: <see cref="Fp8Matrix"/>.</summary>
    Fp8,

    /// <summary>4 bits with doubly quantized scales: <see cref="Nf4Matrix"/>.</summary>
    Nf4,

    /// <summary>8-bit integers with a scale for each row: <see cref="Int8Matrix"/>.</summary>
    Int8,
}
