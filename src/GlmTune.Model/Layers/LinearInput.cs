using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The factor of a linear layer's product, forward or backward: values, the same in fp8 if its weight is in
/// fp8, or both.</summary>
/// <param name="Values">[N, width], in the model's type; null where only <paramref name="Quantized"/> was made.</param>
/// <param name="Quantized">The values in fp8; null: quantized where they are needed.</param>
/// <param name="Again">Makes the values again, to the bit, from what the backward pass keeps anyway; null: nothing
/// does.</param>
internal readonly record struct LinearInput(Tensor? Values, Fp8Rows? Quantized = null, Recomputation? Again = null)
{
    /// <summary>Values only.</summary>
    public static implicit operator LinearInput(Tensor values) => new(values);

    /// <summary>Number of rows, N.</summary>
    public long RowCount => (Values ?? Quantized!.Value.Values).shape[0];

    /// <summary>Some of the rows, as views in the caller's dispose scope; they are not made again.</summary>
    /// <param name="first">Index of the first.</param>
    /// <param name="count">How many.</param>
    public LinearInput Rows(long first, long count) =>
        new(
            Values?.narrow(0, first, count),
            Quantized is { } rows
                ? new Fp8Rows(rows.Values.narrow(0, first, count), rows.Scales.narrow(0, first, count))
                : null
        );

    /// <summary>The values in fp8.</summary>
    public Fp8Rows QuantizedBy(LayerKernels kernels) => Quantized ?? kernels.QuantizeRows(Values!);
}
