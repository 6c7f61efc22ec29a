using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A frozen weight in fp8 with a float32 scale for each tile of rows and columns.</summary>
/// <param name="values">e4m3 [out, in]; owned by this object.</param>
/// <param name="scales">float32 [⌈out / tileRows⌉, ⌈in / tileColumns⌉]; owned by this object.</param>
/// <param name="tileRows">Rows of a tile.</param>
/// <param name="tileColumns">Columns of a tile.</param>
internal sealed class Fp8TileMatrix(Tensor values, Tensor scales, int tileRows, int tileColumns)
    : FrozenMatrix(values.shape[0], values.shape[1])
{
    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors => [values, scales];

    /// <inheritdoc/>
    public override void WriteTo(Tensor target)
    {
        using var scope = NewDisposeScope();
        var wide = target.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        for (long row = 0; row < Rows; row += tileRows)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(tileRows, Rows - row);
            var factor = scales
                .select(0, row / tileRows)
                .to_type(wide)
                .repeat_interleave(tileColumns)
                .narrow(0, 0, Columns);
            target.narrow(0, row, count).copy_(values.narrow(0, row, count).to_type(wide).mul_(factor));
        }
    }
}
