using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>A trainable addition to a frozen linear layer.</summary>
internal abstract class LinearAdapter
{
    /// <summary>Its trainable parameters.</summary>
    public abstract IEnumerable<Parameter> Parameters { get; }

    /// <summary>Whether it multiplies the output of the weight, so that it must run before a bias or a residual is
    /// added.</summary>
    public virtual bool ScalesOutput => false;

    /// <summary>Changes the layer's output in place.</summary>
    /// <param name="linear">The layer that it is attached to.</param>
    /// <param name="x">The layer's input [N, in].</param>
    /// <param name="y">The layer's output [N, out], including earlier adapters, and the bias unless an adapter
    /// <see cref="ScalesOutput"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs besides <paramref name="x"/>; null: nothing is
    /// kept.</param>
    public abstract void Forward(Linear linear, Tensor x, Tensor y, LayerContext context, Tape? tape);

    /// <summary>Whether <see cref="Decode"/> does the same as <see cref="Forward"/> without dropout.</summary>
    public virtual bool CanDecode => false;

    /// <summary>Whether it may change the layer's output in a pass.</summary>
    public virtual bool AppliesTo(LayerContext context) => true;

    /// <summary>What the layer's output starts with in a pass that is not differentiated, and to which the product with
    /// the weight is added; includes the bias, unless it <see cref="ScalesOutput"/>. Null: nothing, and
    /// <see cref="Decode"/> is used. Only for an adapter that is alone on its layer.</summary>
    /// <param name="x">The layer's input [n, in].</param>
    /// <param name="context">The context of the pass.</param>
    /// <returns>[n, out], contiguous, in the caller's dispose scope.</returns>
    public virtual Tensor? BeginOutput(Tensor x, LayerContext context) => null;

    /// <summary>Completes an output that <see cref="BeginOutput"/> started, in place.</summary>
    /// <param name="y">The sum with the product, [n, out].</param>
    /// <param name="context">The context of the pass.</param>
    public virtual void EndOutput(Tensor y, LayerContext context) { }

    /// <summary>Changes the layer's output in a pass over few rows that is not differentiated: in place, by operators
    /// that write to given memory or take theirs from the kernels, so that the pass can be captured.</summary>
    /// <param name="x">The layer's input [n, in].</param>
    /// <param name="y">The layer's output [n, out], including the bias.</param>
    /// <param name="context">The context of the pass.</param>
    public virtual void Decode(Tensor x, Tensor y, LayerContext context) =>
        throw new NotSupportedException($"{GetType().Name} does not support the decoding path.");

    /// <summary>Computes the gradients of its parameters, and adds to that of the input.</summary>
    /// <param name="linear">The layer that it is attached to.</param>
    /// <param name="gradient">Gradient of the layer's output [N, out].</param>
    /// <param name="x">The layer's input [N, in].</param>
    /// <param name="inputGradient">Added to in place, [N, in]; null: not needed.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">What the forward pass saved.</param>
    public abstract void Backward(
        Linear linear,
        Tensor gradient,
        Tensor x,
        Tensor? inputGradient,
        LayerContext context,
        Tape tape
    );
}
