using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model;

// Passes: the loops over the layers, and questions about a whole pass.
internal abstract partial class DecoderModel
{
    /// <summary>Hidden states after the last decoder layer, before the final norm: the one loop over the layers, for
    /// training, evaluation and generation.</summary>
    /// <param name="tokenIds">int64 [N].</param>
    /// <param name="context">The context of the pass, on the first device.</param>
    /// <param name="weights">Brings each unit's weights into memory while it runs; null: they are in memory.</param>
    /// <param name="kept">Receives what the backward pass needs; null: there is no backward pass.</param>
    /// <returns>[N, C] on the last device, in the caller's dispose scope.</returns>
    public Tensor Hidden(
        Tensor tokenIds,
        LayerContext context,
        IUnitWeights? weights = null,
        KeptActivations? kept = null
    )
    {
        using var stages = Stages(context);
        return Hidden(tokenIds, stages, weights, kept);
    }

    private Tensor Hidden(Tensor tokenIds, PipelineStageContexts stages, IUnitWeights? weights, KeptActivations? kept)
    {
        using var scope = NewDisposeScope();
        weights?.Unshard(Embedding);
        var x = Embedding.Forward(tokenIds, Kernels);
        weights?.Reshard(Embedding);
        var at = 0;
        foreach (var layer in Layers)
        {
            var stage = Plan.PipelineStageOf(layer.Number);
            if (stage != at)
            {
                var there = x.to(Plan.Devices[stage]).alias();
                x.Dispose();
                (x, at) = (there, stage);
            }

            weights?.Unshard(layer);
            var next = layer.Forward(x, stages.On(stage), kept?.Begin(layer.Number, x));
            weights?.Reshard(layer);
            x.Dispose();
            x = next;
        }

        return x.MoveToOuterDisposeScope();
    }

    /// <summary>The residual stream and the output of the last decoder layer, in a pass over a cache on one device:
    /// sums and norms are one kernel.</summary>
    /// <param name="hidden">Hidden states of the tokens, [n, C]; disposed by the call.</param>
    /// <param name="context">The context of the pass, with its cache.</param>
    /// <param name="last">The tokens that continue after the last layer's attention; null: all.</param>
    /// <param name="before">Called with each layer's number before the layer runs.</param>
    /// <returns>Each [n or m, C], in the caller's dispose scope.</returns>
    internal (Tensor Hidden, Tensor Delta) Decode(
        Tensor hidden,
        LayerContext context,
        LastRows? last = null,
        Action<int>? before = null
    )
    {
        Tensor? delta = null;
        foreach (var layer in Layers)
        {
            before?.Invoke(layer.Number);
            var (nextHidden, nextDelta) = layer.Decode(
                hidden,
                delta,
                context,
                layer.Number == Layers.Count - 1 ? last : null
            );
            hidden.Dispose();
            delta?.Dispose();
            (hidden, delta) = (nextHidden, nextDelta);
        }

        return (hidden, delta!);
    }

    /// <inheritdoc/>
    public Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    ) => Logits(tokenIds, sequences, weights: null, cache, lastOnly, adapters);

    /// <summary>Like <see cref="ICausalLm.Logits"/>, for a model whose weights are brought into memory unit by
    /// unit.</summary>
    /// <param name="tokenIds">New tokens of all sequences, concatenated, [N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="weights">Brings each unit's weights into memory while it runs; null: they are in memory.</param>
    /// <param name="cache">The cache with earlier tokens; disposed by the call.</param>
    /// <param name="lastOnly">Whether only the logits of each sequence's last token are needed.</param>
    /// <param name="adapters">The adapter of each sequence.</param>
    public Tensor Logits(
        int[] tokenIds,
        SequenceLayout sequences,
        IUnitWeights? weights,
        CacheStep? cache = null,
        bool lastOnly = false,
        IReadOnlyList<ServedAdapter?>? adapters = null
    )
    {
        using var scope = NewDisposeScope();
        using var disposed = sequences;
        using var finished = cache;
        using var rows = adapters is null ? null : ServedAdapters.Rows(this, adapters, sequences.LengthOf, Device);
        using var context = Context(sequences, cache: cache, adapters: adapters, rows: rows);
        using var lastRows =
            rows is null || !lastOnly ? null : ServedAdapters.Rows(this, adapters!, _ => 1, Plan.Devices[^1]);
        var last = lastOnly
            ? HostValues.ToDevice(sequences.Starts.Skip(1).Select(next => next - 1L).ToArray(), Plan.Devices[^1])
            : null;
        if (cache is not null && weights is null && CachedDecoder.CanDecode(this))
        {
            var (stream, delta) = Decode(
                Embedding.Forward(Ids(tokenIds), Kernels),
                context,
                last is null ? null : new LastRows(last, lastRows)
            );
            return Head.Decode(stream, delta, context).MoveToOuterDisposeScope();
        }

        using var stages = Stages(context);
        var hidden = Hidden(Ids(tokenIds), stages, weights, kept: null);
        var end = stages.On(Plan.Devices.Count - 1);
        if (last is not null)
        {
            hidden = hidden.index_select(0, last);
            end.Adapters = lastRows;
        }

        weights?.Unshard(Head);
        var logits = Head.Logits(hidden, end);
        weights?.Reshard(Head);
        return logits.MoveToOuterDisposeScope();
    }

    /// <inheritdoc/>
    public double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets) =>
        Loss(tokenIds, sequences, targets, weights: null);

    /// <summary>Like <see cref="ICausalLm.Loss"/>, for a model whose weights are brought into memory unit by
    /// unit.</summary>
    /// <param name="tokenIds">[N].</param>
    /// <param name="sequences">Which tokens belong to which sequence; disposed by the call.</param>
    /// <param name="targets">Which token is predicted from which position; remains owned by the caller.</param>
    /// <param name="weights">Brings each unit's weights into memory while it runs; null: they are in memory.</param>
    public double Loss(int[] tokenIds, SequenceLayout sequences, SupervisedTargets targets, IUnitWeights? weights)
    {
        using var scope = NewDisposeScope();
        using var disposed = sequences;
        using var context = Context(sequences);
        using var stages = Stages(context);
        var hidden = Hidden(Ids(tokenIds), stages, weights, kept: null);
        using var there = Plan.Devices.Count == 1 ? null : targets.On(Plan.Devices[^1]);
        weights?.Unshard(Head);
        var (loss, _) = Head.Loss(hidden, there ?? targets, stages.On(Plan.Devices.Count - 1), gradientScale: null);
        weights?.Reshard(Head);
        return loss.to_type(ScalarType.Float64).item<double>();
    }

    private PipelineStageContexts Stages(LayerContext context) => new(context, Plan.Devices, kernels);
}
