using GlmTune.Collectives;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Sums over all ranks for training itself: losses and norms.</summary>
internal sealed class RankSums(ICollectives? ranks)
{
    /// <summary>Sums a host number; identical bits on each rank.</summary>
    public double Of(double value, long? step)
    {
        if (ranks is null or { WorldSize: 1 })
        {
            return value;
        }

        using var scope = NewDisposeScope();
        var buffer = tensor([value], ScalarType.Float64).to(ranks.Device);
        ranks.AllReduceSum(buffer, new CallLabel(step, "loss")).Wait();
        return buffer.cpu().item<double>();
    }

    /// <summary>Sums a tensor in place.</summary>
    public void InPlace(Tensor buffer, long? step)
    {
        if (ranks is { WorldSize: > 1 })
        {
            ranks.AllReduceSum(buffer, new CallLabel(step, "gradient norm")).Wait();
        }
    }
}
