using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training.Sentinel;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>Runs a model layer by layer, forward and backward, with any sharding.</summary>
/// <remarks>A layer is either kept (its tape is saved for the backward pass) or recomputed (only its input is saved,
/// and the forward pass runs again). Dropout masks follow from the seed of the pass, so both give the same numbers.
/// Layers below the lowest trained one run only forward. Source: Chen et al., Training Deep Nets with Sublinear Memory
/// Cost, arXiv:1604.06174.</remarks>
/// <param name="model">The model, with adapters attached.</param>
/// <param name="sharding">How parameters are distributed over the ranks.</param>
/// <param name="recomputed">Number of decoder layers to recompute, counted from the first.</param>
internal sealed class LayerRunner(DecoderModel model, ISharding sharding, int recomputed)
{
    /// <summary>The model.</summary>
    public DecoderModel Model => model;

    /// <summary>Number of decoder layers that are recomputed, counted from the first.</summary>
    public int Recomputed { get; set; } = recomputed;

    /// <summary>Number of further decoder layers, following these, of which only cheap parts (norms, SwiGLU) are
    /// recomputed.</summary>
    public int SelectivelyRecomputed { get; set; }

    /// <summary>The most bytes that a pass kept on the device for its backward pass so far.</summary>
    public long MostKept { get; private set; }

    /// <summary>Where the inputs of recomputed layers are kept in host memory; null: they stay on the device.</summary>
    public OffloadedInputs? OffloadedInputs { get; init; }

    /// <summary>Looks at what passes between layers; null: nothing does.</summary>
    public NonFiniteSearch? Search { get; set; }

    /// <summary>For tests: called with a pass, the number of a layer that is about to run, whether backward, and its
    /// input or the gradient of its output, which it may change. Null: not called.</summary>
    public Action<TrainingPass, int, bool, Tensor>? Disturb { get; set; }

    /// <summary>Runs one micro-batch and adds its gradients to the shards.</summary>
    /// <param name="pass">The pass; remains owned by the caller.</param>
    /// <param name="gradientScale">One over the number of supervised tokens in the whole step.</param>
    /// <param name="dropoutSeed">Seed of the dropout masks; null: no dropout.</param>
    /// <param name="lastOfStep">Whether it is the last micro-batch before the update, in which gradients that are
    /// reduced once per step are reduced.</param>
    /// <param name="reduced">Called with a layer after its gradients have been reduced, and with the loss; null: not
    /// called.</param>
    /// <returns>Sum of −log p over the pass's targets, a scalar on the device; in the caller's dispose scope.</returns>
    public Tensor ForwardBackward(
        TrainingPass pass,
        double gradientScale,
        long? dropoutSeed,
        bool lastOfStep = true,
        Action<Layer, Tensor>? reduced = null
    )
    {
        using var scope = NewDisposeScope();
        sharding.BeginPass(UsesOfTraining(), lastOfStep);
        if (pass.Targets.Count == 0 && pass.Exchange is null)
        {
            return Nothing(reduced).MoveToOuterDisposeScope();
        }

        RefreshPrefix();
        using var context = model.Context(pass.Sequences, dropoutSeed, run: pass.Run, exchange: pass.Exchange);
        return Run(model.Ids(pass.TokenIds), pass, context, gradientScale, reduced).MoveToOuterDisposeScope();
    }

    /// <summary>The same for a pass with targets and with its inputs on the device: nothing in it needs numbers from
    /// the host.</summary>
    /// <param name="ids">int64 [N].</param>
    /// <param name="pass">The pass, of which the ids are not read.</param>
    /// <param name="context">What its layers share.</param>
    /// <param name="gradientScale">One over the number of supervised tokens in the whole step.</param>
    /// <param name="reduced">As for <see cref="ForwardBackward"/>.</param>
    internal Tensor Run(
        Tensor ids,
        TrainingPass pass,
        LayerContext context,
        LossScale gradientScale,
        Action<Layer, Tensor>? reduced = null
    )
    {
        using var scope = NewDisposeScope();
        var lowest = LowestTrained();
        using var kept = new KeptActivations(
            model.Layers.Count,
            lowest,
            Recomputed,
            SelectivelyRecomputed,
            OffloadedInputs
        )
        {
            Entering = Search is null && Disturb is null ? null : (layer, x) => Enter(pass, layer, x),
        };
        var x = model.Hidden(ids, context, sharding, kept);
        Search?.Look(model.Layers[^1], x, inBackward: false);
        MostKept = Math.Max(MostKept, kept.Bytes);
        return Backward(ids, x, pass, context, lowest, kept, gradientScale, reduced).MoveToOuterDisposeScope();
    }

    /// <summary>Recomputes a prefix that is computed from other parameters; call it after every change to
    /// them.</summary>
    public void RefreshPrefix()
    {
        if (model.PrefixEncoder is { } encoder)
        {
            sharding.Unshard(encoder);
            encoder.Project();
            sharding.Reshard(encoder);
        }
    }

    private Tensor Backward(
        Tensor ids,
        Tensor hidden,
        TrainingPass pass,
        LayerContext context,
        int lowest,
        KeptActivations kept,
        LossScale gradientScale,
        Action<Layer, Tensor>? reduced
    )
    {
        using var scope = NewDisposeScope();
        sharding.Unshard(model.Head);
        var (loss, gradient) = HeadLoss(
            hidden,
            pass,
            context,
            gradientScale,
            inputGradient: lowest < model.Layers.Count
        );
        if (gradient is not null)
        {
            Search?.Look(model.Head, gradient, inBackward: false);
        }

        Search?.LookAtLoss(model.Head, loss);
        Reduce(model.Head, loss, reduced);
        sharding.Reshard(model.Head);
        hidden.Dispose();
        for (var i = model.Layers.Count - 1; i >= Math.Max(lowest, 0); i--)
        {
            Disturb?.Invoke(pass, i, true, gradient!);
            var below = BackwardLayer(
                model.Layers[i],
                gradient!,
                context,
                kept,
                inputGradient: i > lowest,
                layer => Reduce(layer, loss, reduced)
            );
            gradient!.Dispose();
            gradient = below;
        }

        if (lowest < 0)
        {
            model.Embedding.Backward(gradient!, ids, model.Kernels);
            Reduce(model.Embedding, loss, reduced);
        }

        if (model.PrefixEncoder is { } encoder)
        {
            sharding.Unshard(encoder);
            encoder.Backward();
            Reduce(encoder, loss, reduced);
            sharding.Reshard(encoder);
        }

        return loss.MoveToOuterDisposeScope();
    }

    private Tensor? BackwardLayer(
        DecoderLayer layer,
        Tensor gradient,
        LayerContext context,
        KeptActivations kept,
        bool inputGradient,
        Action<Layer> reduce
    )
    {
        using var scope = NewDisposeScope();
        sharding.Unshard(layer);
        using var tape = kept.Take(layer, context);
        var below = layer.Backward(gradient, context, tape, inputGradient);
        if (below is not null)
        {
            Search?.Look(layer, below, inBackward: true);
        }

        reduce(layer);
        sharding.Reshard(layer);
        return below?.MoveToOuterDisposeScope();
    }

    // Index of the lowest unit with trained parameters: -1 for the embedding, the number of layers for the head alone.
    private int LowestTrained()
    {
        if (model.Embedding.HasTrainable)
        {
            return -1;
        }

        if (model.PrefixEncoder is not null)
        {
            return 0;
        }

        for (var i = 0; i < model.Layers.Count; i++)
        {
            if (model.Layers[i].HasTrainable)
            {
                return i;
            }
        }

        return model.Layers.Count;
    }

    // The units with a backward pass, in its order. The embedding's needs no weights, and the head runs forward and
    // backward at once.
    private IEnumerable<Layer> Down => [model.Head, .. model.Layers.Skip(Math.Max(LowestTrained(), 0)).Reverse()];

    // Every unit in the order in which a pass unshards it.
    private List<Layer> UsesOfTraining()
    {
        Layer[] encoder = model.PrefixEncoder is { } there ? [there] : [];
        return [.. encoder, model.Embedding, .. model.Layers, .. Down, .. encoder];
    }

    // A rank without a row still takes part in every gather and reduction, in the same order as the others.
    private Tensor Nothing(Action<Layer, Tensor>? reduced)
    {
        var loss = ZeroLoss();
        RefreshPrefix();
        foreach (var unit in model.Layers.Prepend<Layer>(model.Embedding))
        {
            sharding.Unshard(unit);
            sharding.Reshard(unit);
        }

        foreach (var unit in Down)
        {
            TakePart(unit);
        }

        if (model.Embedding.HasTrainable)
        {
            Reduce(model.Embedding, loss, reduced);
        }

        if (model.PrefixEncoder is { } encoder)
        {
            TakePart(encoder);
        }

        return loss;

        void TakePart(Layer unit)
        {
            sharding.Unshard(unit);
            Reduce(unit, loss, reduced);
            sharding.Reshard(unit);
        }
    }

    private void Enter(TrainingPass pass, int layer, Tensor x)
    {
        Disturb?.Invoke(pass, layer, false, x);
        Search?.Look(layer == 0 ? model.Embedding : model.Layers[layer - 1], x, inBackward: false);
    }

    private void Reduce(Layer layer, Tensor loss, Action<Layer, Tensor>? reduced)
    {
        Search?.LookAtParameters(layer);
        sharding.ReduceGradients(layer);
        reduced?.Invoke(layer, loss);
    }

    // When ranks share a pass, a rank without targets still takes part in the attention of the others.
    private (Tensor Loss, Tensor? Gradient) HeadLoss(
        Tensor hidden,
        TrainingPass pass,
        LayerContext context,
        LossScale gradientScale,
        bool inputGradient
    ) =>
        pass.Targets.Count > 0
            ? model.Head.Loss(hidden, pass.Targets, context, gradientScale, inputGradient)
            : (ZeroLoss(), inputGradient ? zeros_like(hidden) : null);

    private Tensor ZeroLoss() =>
        zeros(1, model.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32, model.Device).squeeze();
}
