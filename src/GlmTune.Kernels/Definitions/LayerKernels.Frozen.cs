using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <content>Frozen weights in few bits.</content>
internal abstract partial class LayerKernels
{
    /// <summary>Writes a weight in the type that products take.</summary>
    /// <param name="weight">W [out, in].</param>
    /// <param name="target">[out, in], contiguous, any floating-point type.</param>
    public virtual void Dequantize(FrozenMatrix weight, Tensor target) => weight.WriteTo(target);

    /// <summary>As <see cref="Project(Tensor, Tensor, Tensor?, Tensor?)"/>, for a weight in few bits. For few rows, a
    /// fused kernel reads the bits; nf4's sixteen numbers are then rounded to x's type before they are multiplied by
    /// their scales.</summary>
    /// <param name="x">[n, in].</param>
    /// <param name="weight">W [out, in].</param>
    /// <param name="dense">Returns the dequantized weight, in x's type.</param>
    /// <param name="bias">[out], or null.</param>
    /// <returns>[n, out].</returns>
    public virtual Tensor Project(Tensor x, FrozenMatrix weight, Func<Tensor> dense, Tensor? bias = null) =>
        Project(x, dense(), bias);

    /// <summary>As <see cref="ProjectSwiGlu(Tensor, Tensor)"/>, for a weight in few bits.</summary>
    /// <param name="x">[n, in].</param>
    /// <param name="weight">[2F, in]: rows of the gate, then of up.</param>
    /// <param name="dense">Returns the dequantized weight, in x's type.</param>
    /// <returns>[n, F].</returns>
    public virtual Tensor ProjectSwiGlu(Tensor x, FrozenMatrix weight, Func<Tensor> dense) => ProjectSwiGlu(x, dense());
}
