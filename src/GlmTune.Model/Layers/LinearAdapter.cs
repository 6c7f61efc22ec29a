using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Something trained that is added to a frozen linear layer.</summary>
public abstract class LinearAdapter
{
    /// <summary>What it brings to be trained.</summary>
    public abstract IEnumerable<Parameter> Parameters { get; }

    /// <summary>Whether it multiplies what the weight gave, so that it needs the output before a bias or a residual is
    /// added.</summary>
    public virtual bool ScalesOutput => false;

    /// <summary>Changes the layer's output in place.</summary>
    /// <param name="linear">The layer it sits on.</param>
    /// <param name="x">The layer's input [N, in].</param>
    /// <param name="y">The layer's output [N, out], what earlier adapters did included; bias too, unless one
    /// <see cref="ScalesOutput"/>.</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">Gets what the backward pass needs beside <paramref name="x"/>; null: nothing is kept.</param>
    public abstract void Forward(Linear linear, Tensor x, Tensor y, LayerContext context, Tape? tape);

    /// <summary>Whether <see cref="Decode"/> does what <see cref="Forward"/> does without dropout.</summary>
    public virtual bool CanDecode => false;

    /// <summary>Changes the layer's output in a pass over few rows that is not differentiated: in place, by operators
    /// that write to given memory or take theirs from the kernels, so that the pass can be captured.</summary>
    /// <param name="x">The layer's input [n, in].</param>
    /// <param name="y">The layer's output [n, out], bias included.</param>
    /// <param name="context">The pass.</param>
    public virtual void Decode(Tensor x, Tensor y, LayerContext context) =>
        throw new NotSupportedException($"{GetType().Name} does not support the decoding path.");

    /// <summary>Collects the gradients of its parameters and adds to that of the input.</summary>
    /// <param name="linear">The layer it sits on.</param>
    /// <param name="gradient">Of the layer's output [N, out].</param>
    /// <param name="x">The layer's input [N, in].</param>
    /// <param name="inputGradient">Added to in place, [N, in]; null: not wanted.</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">What the forward pass left.</param>
    public abstract void Backward(
        Linear linear,
        Tensor gradient,
        Tensor x,
        Tensor? inputGradient,
        LayerContext context,
        Tape tape
    );
}
