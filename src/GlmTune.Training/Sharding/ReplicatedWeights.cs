using GlmTune.Collectives;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Whole weights on every rank. Stage 0: gradients and optimizer state whole too; 1: state in slices; 2:
/// gradients too. Alone, it is plain training.</summary>
/// <remarks>
/// When gradients are summed, <see cref="GradientReduction"/> says; updated slices are gathered after the optimizer.
/// Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, sections 5.1 and 5.2.
/// </remarks>
public sealed class ReplicatedWeights : ISharding
{
    private readonly RankSums sums;
    private readonly TrainedShards trained;

    /// <param name="layers">In the order of the forward pass; those with nothing to train are left out.</param>
    /// <param name="ranks">The ranks; null: alone.</param>
    /// <param name="options">How; null: stage 2.</param>
    /// <param name="weights">The model's own parameters; null: none of the layers'.</param>
    /// <exception cref="ArgumentException">The stage is 3, which <see cref="ShardedParameters"/> is for.</exception>
    public ReplicatedWeights(
        IEnumerable<Layer> layers,
        ICollectives? ranks = null,
        ShardingOptions? options = null,
        IReadOnlySet<Parameter>? weights = null
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
        // A lone process sends nothing, and need not lay its gradients out to be sent. NCCL with a world of one takes
        // the ranks' way.
        ranks = ranks is SingleRank ? null : ranks;
        (Stage, Alone) = (options.Stage, ranks is null && !options.OffloadOptimizer);
        sums = new RankSums(ranks);
        trained = new TrainedShards(options, ranks, weights);
        try
        {
            foreach (var layer in layers)
            {
                trained.Add(layer, layer.Parameters);
            }

            HostOptimizer = trained.MakeHostOptimizer();
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
        trained.Dispose();
    }
}
