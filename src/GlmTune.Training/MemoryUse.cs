using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>What the memory of a rank's device holds during training, in bytes, counted from the tensors
/// themselves.</summary>
/// <param name="Weights">The model's weights, trained or frozen, in the type in which layers compute.</param>
/// <param name="Adapter">Parameters of the adapter.</param>
/// <param name="Gradients">Summed gradients between two updates.</param>
/// <param name="Optimizer">Master weights and moments.</param>
/// <param name="Activations">The most that a pass kept for its backward pass so far.</param>
/// <remarks>What is in use beyond these is CUDA itself, workspaces of libraries, and the allocator's cache.</remarks>
public sealed record MemoryUse(long Weights, long Adapter, long Gradients, long Optimizer, long Activations)
{
    /// <summary>Sum of all parts, in bytes.</summary>
    public long Total => Weights + Adapter + Gradients + Optimizer + Activations;

    /// <summary>The parts under their names in logs, in GiB.</summary>
    /// <param name="inUse">Bytes in use on the device; null: not known, and the rest is left out.</param>
    public IEnumerable<KeyValuePair<string, double>> Values(long? inUse)
    {
        yield return KeyValuePair.Create("memory_weights_gib", Gibibytes(Weights));
        yield return KeyValuePair.Create("memory_adapter_gib", Gibibytes(Adapter));
        yield return KeyValuePair.Create("memory_gradients_gib", Gibibytes(Gradients));
        yield return KeyValuePair.Create("memory_optimizer_gib", Gibibytes(Optimizer));
        yield return KeyValuePair.Create("memory_activations_gib", Gibibytes(Activations));
        if (inUse is { } bytes)
        {
            yield return KeyValuePair.Create("memory_other_gib", Gibibytes(Math.Max(0, bytes - Total)));
        }
    }

    internal static MemoryUse Of(LayerRunner runner, ISharding sharding)
    {
        var model = runner.Model;
        var own = model.BaseParameters.ToHashSet();
        var (weights, adapter, gradients, optimizer) = (0L, 0L, 0L, 0L);
        foreach (var parameter in model.Parameters.Distinct())
        {
            if (own.Contains(parameter))
            {
                weights += parameter.DeviceBytes;
            }
            else
            {
                adapter += parameter.DeviceBytes;
            }

            gradients += Bytes(parameter.Gradient, model.Device);
        }

        foreach (var shard in sharding.Trainable)
        {
            gradients += Bytes(shard.CollectedGradient, model.Device);
            optimizer += shard.Moments.Tensors.Sum(tensor => Bytes(tensor, model.Device));
            if (shard.HasMasters)
            {
                optimizer += Bytes(shard.Master, model.Device);
            }
            else if (!shard.HoldsParameters)
            {
                weights += Bytes(shard.Master, model.Device);
            }

            weights += shard.ComputeRestsOnHost ? 0 : Bytes(shard.Compute, model.Device);
        }

        return new MemoryUse(weights, adapter, gradients, optimizer, runner.MostKept);
    }

    private static long Bytes(Tensor? tensor, Device device) =>
        tensor is not null && tensor.device_type == device.type ? tensor.numel() * tensor.ElementSize : 0;

    private static double Gibibytes(long bytes) => Math.Round(bytes / (double)(1 << 30), 4);
}
