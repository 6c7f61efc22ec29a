using GlmTune.Collectives;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Whole weights on every rank. Stage 0: gradients and optimizer state are also whole; 1: the state is
/// sharded; 2: also gradients. With a single rank, plain training.</summary>
/// <remarks><see cref="GradientReduction"/> determines when gradients are reduced; updated slices are gathered after
/// the optimizer step. Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, sections 5.1 and 5.2.</remarks>
internal sealed class ReplicatedWeights : ISharding
{
    private readonly RankSums sums;
    private readonly TrainedShards trained;

    /// <param name="layers">The layers in the order of the forward pass; those without trained parameters are
    /// ignored.</param>
    /// <param name="ranks">The ranks; null: a single rank.</param>
    /// <param name="options">Sharding options; null: stage 2.</param>
    /// <param name="weights">The model's own parameters; null: none of the layers'.</param>
    /// <param name="kernels">Layer functions of the device; null: plain operators.</param>
    /// <exception cref="ArgumentException">The stage is 3, which requires <see cref="ShardedParameters"/>.</exception>
    public ReplicatedWeights(
        IEnumerable<Layer> layers,
        ICollectives? ranks = null,
        ShardingOptions? options = null,
        IReadOnlySet<Parameter>? weights = null,
        LayerKernels? kernels = null
    )
    {
        options ??= new ShardingOptions { Stage = 2 };
        if (options.Stage is < 0 or > 2)
        {
            throw new ArgumentException(
                $"Stage {options.Stage} does not keep full weights on every rank; stages 0, 1 and 2 do.",
                nameof(options)
            );
        }
        // A single process sends nothing, and need not arrange its gradients for sending. NCCL with a world of one
        // takes the same path as several ranks.
        ranks = ranks is SingleRank ? null : ranks;
        Stage = options.Stage;
        // Sums without master weights are rounded by other random numbers each time, which no recording could do.
        Alone =
            ranks is null && options is { OffloadOptimizer: false, UpdatesByLayer: false, State.MasterWeights: true };
        UpdatesByLayer = options.UpdatesByLayer;
        sums = new RankSums(ranks);
        trained = new TrainedShards(options, ranks, weights, kernels);
        try
        {
            foreach (var layer in layers)
            {
                trained.Add(layer, layer.Parameters);
            }

            HostOptimizer = trained.MakeHostOptimizer();
            StreamedOptimizer = trained.MakeStreamedOptimizer();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public int Stage { get; }

    /// <inheritdoc/>
    public long? CurrentStep { get; set; }

    /// <inheritdoc/>
    public IReadOnlyList<FlatShard> Trainable => trained.Shards;

    /// <inheritdoc/>
    public long PassingBytes => trained.PassingBytes;

    /// <inheritdoc/>
    public HostAdamW? HostOptimizer { get; }

    /// <inheritdoc/>
    public StreamedAdamW? StreamedOptimizer { get; }

    /// <inheritdoc/>
    public long Seed
    {
        get => trained.Seed;
        set => trained.Seed = value;
    }

    /// <inheritdoc/>
    public bool UpdatesByLayer { get; }

    /// <inheritdoc/>
    public IReadOnlyList<FlatShard> ShardsOf(Layer layer) => trained.Of(layer);

    private bool LastOfStep { get; set; } = true;

    /// <inheritdoc/>
    public void BeginPass(IReadOnlyList<Layer> uses, bool lastOfStep) => LastOfStep = lastOfStep;

    /// <inheritdoc/>
    public bool Alone { get; }

    /// <inheritdoc/>
    public void Unshard(Layer layer) { }

    /// <inheritdoc/>
    public void Reshard(Layer layer) { }

    /// <inheritdoc/>
    public void ReduceGradients(Layer layer) => trained.ReduceGradients(layer, LastOfStep, CurrentStep);

    /// <inheritdoc/>
    public void FinishGradients() => trained.FinishGradients();

    /// <inheritdoc/>
    public void DropGradients()
    {
        StreamedOptimizer?.Drop();
        HostOptimizer?.Drop();
        trained.DropGradients();
    }

    /// <inheritdoc/>
    public void ShareUpdates() => trained.ShareUpdates(CurrentStep);

    /// <inheritdoc/>
    public void GatherValues(Layer layer, Action<Parameter, Tensor> use, bool trainedOnly = false)
    {
        using var scope = NewDisposeScope();
        var masters = trained.GatherMasters(layer);
        foreach (
            var parameter in layer.Parameters.Where(parameter =>
                parameter.Quantized is null && (parameter.Trainable || !trainedOnly)
            )
        )
        {
            use(parameter, masters.GetValueOrDefault(parameter) ?? parameter.Value);
        }
    }

    /// <inheritdoc/>
    public double Sum(double value) => sums.Of(value, CurrentStep);

    /// <inheritdoc/>
    public void Sum(Tensor buffer) => sums.InPlace(buffer, CurrentStep);

    /// <inheritdoc/>
    public void Dispose()
    {
        HostOptimizer?.Dispose();
        StreamedOptimizer?.Dispose();
        trained.Dispose();
    }
}
