using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Rows of a frozen weight that were left in a floating-point type while others were quantized.</summary>
/// <param name="values">[out, in]; owned by this object.</param>
internal sealed class UnquantizedMatrix(Tensor values) : FrozenMatrix(values.shape[0], values.shape[1])
{
    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors => [values];

    /// <inheritdoc/>
    public override void WriteTo(Tensor target) => target.copy_(values);
}
