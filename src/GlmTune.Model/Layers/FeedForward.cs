using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>down(silu(gate) · up), with gate and up from one fused projection.</summary>
/// <remarks>Source: Shazeer, GLU Variants Improve Transformer, arXiv:2002.05202, section 2.</remarks>
internal sealed class FeedForward
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
    /// <param name="x">Normalized hidden states [N, C].</param>
    /// <param name="residual">The residual stream [N, C]; null: the block's own output is wanted.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs; null: nothing is kept.</param>
    public Tensor Forward(LinearInput x, Tensor? residual, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var gateUp = GateUp.Forward(x, context, tape);
        tape?.Save(gateUp);
        var inner = Inner(gateUp, context);
        if (tape is null)
        {
            gateUp.Dispose();
        }

        return Down.Forward(inner, context, tape, residual).MoveToOuterDisposeScope();
    }

    /// <summary>Fills the tape like <see cref="Forward"/>, without computing the result.</summary>
    /// <param name="x">As for <see cref="Forward"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs.</param>
    public void Recompute(LinearInput x, LayerContext context, Tape tape)
    {
        using var scope = NewDisposeScope();
        var gateUp = GateUp.Forward(x, context, tape);
        tape.Save(gateUp);
        if (Down.NeedsInput)
        {
            Down.Recompute(Inner(gateUp, context), context, tape);
        }
    }

    /// <summary>What the residual stream gets, in a pass over few rows that is not differentiated.</summary>
    /// <param name="x">Normalized hidden states [n, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <returns>[n, C].</returns>
    public Tensor Decode(Tensor x, LayerContext context)
    {
        using var scope = NewDisposeScope();
        var inner =
            GateUp.Adapters.Count == 0 && GateUp.Bias is null
                ? context.Kernels.ProjectSwiGlu(x, GateUp.Weight.Value)
                : context.Kernels.SwiGlu(GateUp.Decode(x, context));
        return Down.Decode(inner, context).MoveToOuterDisposeScope();
    }

    /// <summary>Gradient of the normalized hidden states [N, C].</summary>
    /// <param name="gradient">Gradient of the result, [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">What the forward pass saved.</param>
    public Tensor Backward(Tensor gradient, LayerContext context, Tape tape)
    {
        using var scope = NewDisposeScope();
        var inner = Down.Backward(gradient, context, tape)!;
        LinearInput outer;
        using (var gateUp = tape.TakeTensor())
        {
            outer = GateUp is { Weight.Quantized: not null, NeedsGradient: false }
                ? new LinearInput(null, context.Kernels.SwiGluBackwardFp8(inner, gateUp))
                : context.Kernels.SwiGluBackward(inner, gateUp);
        }

        inner.Dispose();
        return GateUp.Backward(outer, context, tape)!.MoveToOuterDisposeScope();
    }

    private LinearInput Inner(Tensor gateUp, LayerContext context) =>
        Down is { Weight.Quantized: not null, NeedsInput: false }
            ? new LinearInput(null, context.Kernels.SwiGluFp8(gateUp))
            : new LinearInput(
                context.Kernels.SwiGlu(gateUp),
                null,
                new Recomputation([gateUp], kept => context.Kernels.SwiGlu(kept[0]))
            );
}
