using GlmTune.Kernels;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>down(silu(gate) · up), gate and up from one fused projection.</summary>
/// <remarks>Source: Shazeer, GLU Variants Improve Transformer, arXiv:2002.05202, section 2.</remarks>
public sealed class FeedForward
{
    /// <param name="gateUp">[2F, C]: gate rows, then up rows.</param>
    /// <param name="down">[C, F].</param>
    public FeedForward(Linear gateUp, Linear down) => (GateUp, Down) = (gateUp, down);

    /// <summary>Fused gate and up projection ("dense_h_to_4h", "gate_up_proj").</summary>
    public Linear GateUp { get; }

    /// <summary>Projection back ("dense_4h_to_h", "down_proj").</summary>
    public Linear Down { get; }

    /// <summary>All parameters.</summary>
    public IEnumerable<Parameter> Parameters => [.. GateUp.Parameters, .. Down.Parameters];

    /// <summary>The residual stream after this block, [N, C].</summary>
    /// <param name="x">Normalised hidden states [N, C].</param>
    /// <param name="residual">The residual stream [N, C].</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">Gets what the backward pass needs; null: nothing is kept.</param>
    public Tensor Forward(Tensor x, Tensor residual, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var gateUp = GateUp.Forward(x, context, tape);
        tape?.Save(gateUp);
        return Down.Forward(context.Kernels.SwiGlu(gateUp), context, tape, residual).MoveToOuterDisposeScope();
    }

    /// <summary>Gradient of the normalised hidden states [N, C].</summary>
    /// <param name="gradient">Of the result, [N, C].</param>
    /// <param name="context">The pass.</param>
    /// <param name="tape">What the forward pass left.</param>
    public Tensor Backward(Tensor gradient, LayerContext context, Tape tape)
    {
        using var scope = NewDisposeScope();
        var inner = Down.Backward(gradient, context, tape)!;
        using var gateUp = tape.TakeTensor();
        return GateUp.Backward(context.Kernels.SwiGluBackward(inner, gateUp), context, tape)!.MoveToOuterDisposeScope();
    }
}
