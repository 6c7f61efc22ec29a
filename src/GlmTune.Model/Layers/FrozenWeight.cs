using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>A linear layer's weight that is not trained and is stored in few bits: how it is multiplied.</summary>
/// <param name="matrix">The stored weight W [out, in]; owned by this object.</param>
/// <param name="buffers">Where it is dequantized to; shared by the weights of a device, and has room for it.</param>
internal abstract class FrozenWeight(FrozenMatrix matrix, DenseWeights buffers) : IDisposable
{
    /// <summary>The stored weight.</summary>
    public FrozenMatrix Matrix { get; } = matrix;

    /// <summary>The dequantized weight in the model's type, [out, in]; not owned by the caller, and valid until two
    /// other weights have been dequantized.</summary>
    public Tensor Dense => buffers.Same(Matrix);

    /// <summary>x · Wᵀ + added.</summary>
    /// <param name="input">x [N, in].</param>
    /// <param name="added">A bias [out] or a residual [N, out]; null: nothing.</param>
    /// <param name="context">The context of the pass.</param>
    /// <returns>[N, out], in the caller's dispose scope.</returns>
    public abstract Tensor Product(LinearInput input, Tensor? added, LayerContext context);

    /// <summary>The gradient of x: g · W.</summary>
    /// <param name="gradient">g [N, out].</param>
    /// <param name="context">The context of the pass.</param>
    /// <returns>[N, in], in the caller's dispose scope.</returns>
    public abstract Tensor ProductBackward(LinearInput gradient, LayerContext context);

    /// <summary>x · Wᵀ + bias in a pass over few rows that is not differentiated.</summary>
    /// <param name="x">[n, in].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="kernels">Layer functions of the device.</param>
    /// <returns>[n, out], in the caller's dispose scope.</returns>
    public Tensor Decode(Tensor x, Tensor? bias, LayerKernels kernels) =>
        kernels.Project(x, Matrix, () => buffers.Of(Matrix), bias);

    /// <summary>SwiGLU of x · Wᵀ, as <see cref="Decode"/>.</summary>
    public Tensor DecodeSwiGlu(Tensor x, LayerKernels kernels) =>
        kernels.ProjectSwiGlu(x, Matrix, () => buffers.Of(Matrix));

    /// <summary><see cref="Dense"/>, for a product.</summary>
    /// <param name="backward">Whether the product is one of the backward pass.</param>
    protected Tensor DenseFor(bool backward) => buffers.Of(Matrix, backward);

    /// <inheritdoc/>
    public void Dispose() => Matrix.Dispose();

    /// <summary>Stores a weight.</summary>
    /// <param name="weight">[out, in], in the model's type; remains owned by the caller.</param>
    /// <param name="type">How to store it.</param>
    /// <param name="backward">Whether gradients are computed through it.</param>
    /// <param name="buffers">Where it is dequantized to.</param>
    public static FrozenWeight Of(Tensor weight, FrozenType type, bool backward, DenseWeights buffers) =>
        Of(FrozenMatrix.Quantize(weight, type, backward), weight.dtype, buffers);

    /// <summary>A stored weight.</summary>
    /// <param name="matrix">W [out, in]; owned by the result.</param>
    /// <param name="type">Type of the model.</param>
    /// <param name="buffers">Where it is dequantized to.</param>
    public static FrozenWeight Of(FrozenMatrix matrix, ScalarType type, DenseWeights buffers)
    {
        buffers.MakeRoom(matrix);
        return matrix is Fp8Matrix { IsByRows: false } fp8
            ? new Fp8Weight(fp8, type, buffers)
            : new DequantizedWeight(matrix, buffers);
    }
}

/// <summary>A weight in fp8: its products take inputs in fp8 as well, and the GPU's fp8 units.</summary>
internal sealed class Fp8Weight(Fp8Matrix matrix, ScalarType type, DenseWeights buffers) : FrozenWeight(matrix, buffers)
{
    /// <inheritdoc/>
    public override Tensor Product(LinearInput input, Tensor? added, LayerContext context)
    {
        // The fp8 units can add a bias, but not a residual.
        var bias = added is { ndim: 1 } ? added : null;
        var y = context.Kernels.Fp8Product(input.QuantizedBy(context.Kernels), matrix, bias, type);
        return added is null || bias is not null ? y : y.AddInPlace(added);
    }

    /// <inheritdoc/>
    public override Tensor ProductBackward(LinearInput gradient, LayerContext context) =>
        context.Kernels.Fp8ProductBackward(gradient.QuantizedBy(context.Kernels), matrix, type);
}

/// <summary>A weight in 4 or 8 bits that is dequantized for every product.</summary>
internal sealed class DequantizedWeight(FrozenMatrix matrix, DenseWeights buffers) : FrozenWeight(matrix, buffers)
{
    /// <inheritdoc/>
    public override Tensor Product(LinearInput input, Tensor? added, LayerContext context)
    {
        using var transposed = DenseFor(backward: false).t();
        return added is null ? input.Values!.mm(transposed) : addmm(added, input.Values!, transposed, 1, 1);
    }

    /// <inheritdoc/>
    public override Tensor ProductBackward(LinearInput gradient, LayerContext context) =>
        gradient.Values!.mm(DenseFor(backward: true));
}
