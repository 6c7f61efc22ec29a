using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A frozen weight in 8-bit integers: row r is <c>Values[r] · Scales[r]</c>.</summary>
/// <remarks>Symmetric, from −127 to 127, each row scaled by its own largest magnitude; no columns are kept apart
/// (plain absmax quantization). Source: Dettmers et al., LLM.int8(), arXiv:2208.07339, section 2.1, for weights only:
/// products take the dequantized weight.</remarks>
internal sealed class Int8Matrix : FrozenMatrix
{
    private const double Largest = 127;
    private const double Smallest = 1e-30;
    private const long ElementsAtATime = 1 << 22;

    /// <param name="values">int8 [out, in]; owned by this object.</param>
    /// <param name="scales">float32 [out]; owned by this object.</param>
    public Int8Matrix(Tensor values, Tensor scales)
        : base(values.shape[0], values.shape[1]) => (Values, Scales) = (values, scales);

    /// <summary>int8 [out, in].</summary>
    public Tensor Values { get; }

    /// <summary>float32 [out]; as quantized here, the row's largest magnitude divided by 127.</summary>
    public Tensor Scales { get; }

    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors => [Values, Scales];

    /// <summary>Quantizes a weight; as <see cref="FrozenMatrix.Quantize"/>.</summary>
    public static Int8Matrix Quantize(Tensor weight)
    {
        using var scope = NewDisposeScope();
        var (rows, columns) = (weight.shape[0], weight.shape[1]);
        var values = empty([rows, columns], ScalarType.Int8, weight.device);
        var scales = empty([rows], ScalarType.Float32, weight.device);
        var step = Math.Max(1, ElementsAtATime / columns);
        for (long row = 0; row < rows; row += step)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(step, rows - row);
            var wide = weight.narrow(0, row, count).to_type(ScalarType.Float32);
            var scale = wide.abs().amax([1], keepdim: true).ClampMin(Smallest);
            // A division by a tensor: for a number, libtorch multiplies by its reciprocal on some devices.
            scale = scale / scale.FullLike(Largest);
            values.narrow(0, row, count).copy_((wide / scale).round().ClampInPlace(-Largest, Largest));
            scales.narrow(0, row, count).copy_(scale.view(-1));
        }

        return new Int8Matrix(values.DetachFromDisposeScope(), scales.DetachFromDisposeScope());
    }

    /// <summary>A matrix of the rows of several; the caller disposes them.</summary>
    public static Int8Matrix Join(IReadOnlyList<Int8Matrix> parts) =>
        new(
            cat([.. parts.Select(part => part.Values)]).DetachFromDisposeScope(),
            cat([.. parts.Select(part => part.Scales)]).DetachFromDisposeScope()
        );

    /// <inheritdoc/>
    public override void WriteTo(Tensor target)
    {
        using var scope = NewDisposeScope();
        var wide = target.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        var step = Math.Max(1, ElementsAtATime / Columns);
        for (long row = 0; row < Rows; row += step)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(step, Rows - row);
            var factor = Scales.narrow(0, row, count).to_type(wide).unsqueeze(1);
            target.narrow(0, row, count).copy_(Values.narrow(0, row, count).to_type(wide).mul_(factor));
        }
    }
}
