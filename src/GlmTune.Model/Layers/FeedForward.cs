using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>down(silu(gate) · up), with gate and up from one fused projection.</summary>
/// <remarks>In a pass of many tokens whose activations are not kept, it runs in tiles of tokens, forward and backward,
/// because gate and up are by far the widest values of a layer. Source: Shazeer, GLU Variants Improve Transformer,
/// arXiv:2002.05202, section 2; of the tiles: Bekman et al., Arctic Long Sequence Training, arXiv:2506.13996.</remarks>
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

    /// <summary>Numbers that the block keeps of one token for its backward pass, beside its input, if nothing is
    /// recomputed.</summary>
    public long KeptPerToken => GateUp.OutputWidth + (Down.NeedsInput ? Down.InputWidth : 0);

    /// <summary>The residual stream after this block, [N, C].</summary>
    /// <param name="x">Normalized hidden states [N, C].</param>
    /// <param name="residual">The residual stream [N, C]; null: the block's own output is wanted.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs; null: nothing is kept.</param>
    public Tensor Forward(LinearInput x, Tensor? residual, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        if (tape is null && RunsInTiles(x, context))
        {
            return ForwardInTiles(x, residual, context).MoveToOuterDisposeScope();
        }

        var gateUp = GateUp.Forward(x, context, tape);
        tape?.Save(gateUp);
        var inner = Inner(gateUp, context);
        if (tape is null)
        {
            gateUp.Dispose();
        }

        return Down.Forward(inner, context, tape, residual).MoveToOuterDisposeScope();
    }

    /// <summary>Fills the tape for the backward pass, without computing the result.</summary>
    /// <param name="x">As for <see cref="Forward"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs.</param>
    public void Recompute(LinearInput x, LayerContext context, Tape tape)
    {
        if (RunsInTiles(x, context))
        {
            tape.Save(new TiledInput(x));
            return;
        }

        RecomputeWhole(x, context, tape);
    }

    /// <summary>Fills the tape like <see cref="Recompute"/>, and computes the block's own output, [N, C].</summary>
    /// <param name="x">As for <see cref="Forward"/>.</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">Receives what the backward pass needs.</param>
    public Tensor RecomputeWithOutput(LinearInput x, LayerContext context, Tape tape)
    {
        if (!RunsInTiles(x, context))
        {
            return Forward(x, residual: null, context, tape);
        }

        tape.Save(new TiledInput(x));
        return ForwardInTiles(x, residual: null, context);
    }

    private void RecomputeWhole(LinearInput x, LayerContext context, Tape tape)
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
            !GateUp.IsAdapted(context) && GateUp.Bias is null
                ? GateUp.Weight.Quantized?.DecodeSwiGlu(x, context.Kernels)
                    ?? context.Kernels.ProjectSwiGlu(x, GateUp.Weight.Value)
                : context.Kernels.SwiGlu(GateUp.Decode(x, context));
        return Down.Decode(inner, context).MoveToOuterDisposeScope();
    }

    /// <summary>Gradient of the normalized hidden states [N, C].</summary>
    /// <param name="gradient">Gradient of the result, [N, C].</param>
    /// <param name="context">The context of the pass.</param>
    /// <param name="tape">What the forward pass saved.</param>
    public Tensor Backward(Tensor gradient, LayerContext context, Tape tape)
    {
        if (!tape.TryTake<TiledInput>(out var tiled))
        {
            return BackwardWhole(gradient, context, tape);
        }

        using (tiled)
        {
            return BackwardInTiles(gradient, tiled.Input, context);
        }
    }

    private Tensor BackwardWhole(Tensor gradient, LayerContext context, Tape tape)
    {
        using var scope = NewDisposeScope();
        var inner = Down.Backward(gradient, context, tape)!;
        LinearInput outer;
        using (var gateUp = tape.TakeTensor())
        {
            outer = GateUp is { Weight.IsFp8: true, NeedsGradient: false }
                ? new LinearInput(null, context.Kernels.SwiGluBackwardFp8(inner, gateUp))
                : context.Kernels.SwiGluBackward(inner, gateUp);
        }

        inner.Dispose();
        return GateUp.Backward(outer, context, tape)!.MoveToOuterDisposeScope();
    }

    private LinearInput Inner(Tensor gateUp, LayerContext context) =>
        Down is { Weight.IsFp8: true, NeedsInput: false }
            ? new LinearInput(null, context.Kernels.SwiGluFp8(gateUp))
            : new LinearInput(
                context.Kernels.SwiGlu(gateUp),
                null,
                new Recomputation([gateUp], kept => context.Kernels.SwiGlu(kept[0]))
            );

    // Served adapters are given for all tokens of a pass.
    private static bool RunsInTiles(LinearInput x, LayerContext context) =>
        context is { Adapters: null, StoredMaskKeys: null } && x.RowCount > 2L * context.TileTokens;

    private Tensor ForwardInTiles(LinearInput x, Tensor? residual, LayerContext context)
    {
        var output = empty([x.RowCount, Down.OutputWidth], GateUp.Weight.Type, GateUp.Weight.Device);
        ForEachTile(
            context,
            x.RowCount,
            (first, count) =>
                output
                    .narrow(0, first, count)
                    .copy_(Forward(x.Rows(first, count), residual?.narrow(0, first, count), context, tape: null))
        );
        return output;
    }

    private Tensor BackwardInTiles(Tensor gradient, LinearInput x, LayerContext context)
    {
        foreach (var parameter in Parameters.Where(parameter => parameter.Trainable))
        {
            // Sums of many tiles lose too much in 16 bits.
            parameter.WideGradient();
        }

        var result = empty([x.RowCount, GateUp.InputWidth], gradient.dtype, gradient.device);
        ForEachTile(
            context,
            x.RowCount,
            (first, count) =>
            {
                using var tape = new Tape();
                RecomputeWhole(x.Rows(first, count), context, tape);
                result.narrow(0, first, count).copy_(BackwardWhole(gradient.narrow(0, first, count), context, tape));
            }
        );
        return result;
    }

    private static void ForEachTile(LayerContext context, long rows, Action<long, long> run)
    {
        try
        {
            for (var first = 0L; first < rows; first += context.TileTokens)
            {
                using var scope = NewDisposeScope();
                context.FirstToken = first;
                run(first, Math.Min(context.TileTokens, rows - first));
            }
        }
        finally
        {
            context.FirstToken = 0;
        }
    }
}
