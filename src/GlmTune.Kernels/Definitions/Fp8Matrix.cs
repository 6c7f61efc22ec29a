using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A frozen weight W [out, in] quantized to fp8, <c>Values · scale</c>, with the same values transposed for
/// the backward pass.</summary>
/// <remarks>One scale serves the whole matrix. The exponent of the type spans 2¹⁵, so rows of different magnitude lose
/// nothing, and the transposed copy is the same matrix: the gradient is that of the function that was computed. Each
/// copy takes one byte per element, together as much as bfloat16. Without the second, which only gradients need, it is
/// computed in every backward pass.</remarks>
internal sealed class Fp8Matrix : FrozenMatrix
{
    private const long ElementsAtATime = 1 << 24;

    private readonly Tensor? transposed;
    private readonly Tensor? inputScales;

    private Fp8Matrix(Tensor values, Tensor? transposed, Tensor outputScales, Tensor? inputScales)
        : base(values.shape[0], values.shape[1]) =>
        (Values, this.transposed, OutputScales, this.inputScales) = (values, transposed, outputScales, inputScales);

    /// <summary>The values, e4m3 [out, in].</summary>
    public Tensor Values { get; }

    /// <summary>The scale repeated for each output, float32 [1, out], as row-wise products require; or one for each,
    /// see <see cref="IsByRows"/>.</summary>
    public Tensor OutputScales { get; }

    /// <summary>The scale repeated for each input, float32 [1, in].</summary>
    /// <exception cref="InvalidOperationException">Every row has its own scale.</exception>
    public Tensor InputScales =>
        inputScales ?? throw new InvalidOperationException("Every row of this weight has its own scale.");

    /// <summary>Whether every row has its own scale, as in files of other programs. Such a weight is dequantized for
    /// products: its transpose has no scales by rows, which fp8 units need.</summary>
    public bool IsByRows => inputScales is null;

    /// <summary>Whether the transposed copy is kept.</summary>
    public bool KeepsTransposed => transposed is not null;

    /// <summary>Quantizes a weight, a few rows at a time, so that little more than the result is needed.</summary>
    /// <param name="weight">[out, in], any floating-point type; remains owned by the caller.</param>
    /// <param name="keepTransposed">Whether to also keep the transposed values.</param>
    public static Fp8Matrix Quantize(Tensor weight, bool keepTransposed = true)
    {
        using var scope = NewDisposeScope();
        var (rows, columns) = (weight.shape[0], weight.shape[1]);
        var largest = maximum(weight.max(), -weight.min()).to_type(ScalarType.Float32).ClampMin(Fp8.Smallest);
        var whole = largest.FullLike(Fp8.Largest);
        var inverse = whole / largest;
        var values = empty([rows, columns], Fp8.E4M3, weight.device);
        var step = Math.Max(1, ElementsAtATime / columns);
        for (long row = 0; row < rows; row += step)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(step, rows - row);
            values
                .narrow(0, row, count)
                .copy_(
                    (weight.narrow(0, row, count).to_type(ScalarType.Float32) * inverse).ClampInPlace(
                        -Fp8.Largest,
                        Fp8.Largest
                    )
                );
        }

        var scale = largest / whole;
        return new Fp8Matrix(
            values.DetachFromDisposeScope(),
            keepTransposed ? Transpose(values).DetachFromDisposeScope() : null,
            scale.view(1, 1).expand(1, rows).contiguous().DetachFromDisposeScope(),
            scale.view(1, 1).expand(1, columns).contiguous().DetachFromDisposeScope()
        );
    }

    /// <summary>A weight with a scale for each row.</summary>
    /// <param name="values">e4m3 [out, in]; owned by the result.</param>
    /// <param name="scales">float32 [1, out]; owned by the result.</param>
    public static Fp8Matrix ByRows(Tensor values, Tensor scales) => new(values, null, scales, null);

    /// <summary>A matrix of the rows of several that have a scale for each row; the caller disposes them.</summary>
    public static Fp8Matrix Join(IReadOnlyList<Fp8Matrix> parts)
    {
        using var scope = NewDisposeScope();
        // As bytes, which every copy kernel supports.
        var bytes = cat([.. parts.Select(part => Fp8.BytesOf(part.Values))]);
        return ByRows(
            Fp8.OfBytes(bytes).DetachFromDisposeScope(),
            cat([.. parts.Select(part => part.OutputScales)], 1).DetachFromDisposeScope()
        );
    }

    /// <summary>The transposed values, e4m3 [in, out]: the stored copy, or a new one in the caller's dispose
    /// scope.</summary>
    public Tensor Transposed() => transposed ?? Transpose(Values);

    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors =>
        [.. new[] { Values, transposed, OutputScales, inputScales }.OfType<Tensor>()];

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
            var factor = OutputScales.narrow(1, row, count).view(-1, 1);
            target.narrow(0, row, count).copy_(Values.narrow(0, row, count).to_type(wide).mul_(factor));
        }
    }

    // As bytes, which every copy kernel supports.
    private static Tensor Transpose(Tensor values)
    {
        using var scope = NewDisposeScope();
        return Fp8.OfBytes(Fp8.BytesOf(values).t().contiguous()).MoveToOuterDisposeScope();
    }
}
