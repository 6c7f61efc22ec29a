using GlmTune.Collectives;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Whole weights on every rank; gradients and optimizer state in slices (ZeRO-2). Alone, it is plain training.</summary>
/// <remarks>
/// Gradients are reduce-scattered layer by layer as the backward pass goes; updated slices are gathered after the optimizer.
/// Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.2.
/// </remarks>
public sealed class ReplicatedWeights : ISharding
{
    private readonly ICollectives? ranks;
    private readonly Dictionary<Layer, List<FlatShard>> byLayer = [];

    /// <param name="layers">In the order of the forward pass; those with nothing to train are left out.</param>
    /// <param name="ranks">The ranks; null: alone.</param>
    public ReplicatedWeights(IEnumerable<Layer> layers, ICollectives? ranks = null)
    {
        this.ranks = ranks is { WorldSize: > 1 } ? ranks : null;
        var (rank, worldSize) = (ranks?.Rank ?? 0, ranks?.WorldSize ?? 1);
        foreach (var layer in layers)
        {
            var shards = layer.Parameters.Where(parameter => parameter.Trainable)
                .GroupBy(parameter => parameter.Decays)
                .Select(group => new FlatShard(layer, [.. group], group.Key, rank, worldSize))
                .ToList();
            if (shards.Count > 0)
            {
                byLayer.Add(layer, shards);
            }
        }
        Trainable = [.. byLayer.Values.SelectMany(shards => shards)];
    }

    /// <inheritdoc/>
    public IReadOnlyList<FlatShard> Trainable { get; }

    /// <inheritdoc/>
    public void Unshard(Layer layer)
    {
    }

    /// <inheritdoc/>
    public void Reshard(Layer layer)
    {
    }

    /// <inheritdoc/>
    public void ReduceGradients(Layer layer)
    {
        if (!byLayer.TryGetValue(layer, out var shards))
        {
            return;
        }
        foreach (var shard in shards)
        {
            using var scope = NewDisposeScope();
            if (ranks is null)
            {
                AddAlone(shard);
            }
            else
            {
                AddOverRanks(shard, ranks);
            }
            foreach (var segment in shard.Segments)
            {
                segment.Parameter.ClearGradient();
            }
        }
    }

    /// <inheritdoc/>
    public void ShareUpdates()
    {
        foreach (var shard in Trainable)
        {
            using var scope = NewDisposeScope();
            var flat = shard.Master;
            if (ranks is not null)
            {
                flat = empty(shard.PaddedCount, shard.Type, shard.Master.device);
                ranks.AllGather(shard.Master, flat).Wait();
            }
            foreach (var segment in shard.Segments)
            {
                segment.Parameter.Value.copy_(flat.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape));
            }
        }
    }

    /// <inheritdoc/>
    public double Sum(double value)
    {
        if (ranks is null)
        {
            return value;
        }
        using var buffer = tensor([value], ScalarType.Float64).to(ranks.Device);
        ranks.AllReduceSum(buffer).Wait();
        return buffer.item<double>();
    }

    /// <inheritdoc/>
    public void Sum(Tensor buffer) => ranks?.AllReduceSum(buffer).Wait();

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var shard in Trainable)
        {
            shard.Dispose();
        }
    }

    private static void AddAlone(FlatShard shard)
    {
        foreach (var segment in shard.Segments)
        {
            if (segment.Parameter.Gradient is { } gradient)
            {
                shard.Gradient.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape).add_(gradient);
            }
        }
    }

    private static void AddOverRanks(FlatShard shard, ICollectives ranks)
    {
        var flat = zeros(shard.PaddedCount, shard.Type, shard.Master.device);
        foreach (var segment in shard.Segments)
        {
            if (segment.Parameter.Gradient is { } gradient)
            {
                flat.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape).copy_(gradient);
            }
        }
        var sum = empty(shard.Length, shard.Type, shard.Master.device);
        ranks.ReduceScatterSum(flat, sum).Wait();
        shard.Gradient.add_(sum);
    }
}
