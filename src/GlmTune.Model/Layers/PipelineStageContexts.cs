using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>One pass on each device of a model: its own context on the first device, copies on the others, created on
/// first use.</summary>
/// <remarks>Owns the copies; the first context remains owned by the caller. For inference.</remarks>
/// <param name="first">The pass on the first device.</param>
/// <param name="devices">Device of each stage.</param>
/// <param name="kernels">Layer functions of each stage.</param>
internal sealed class PipelineStageContexts(
    LayerContext first,
    IReadOnlyList<Device> devices,
    IReadOnlyList<LayerKernels> kernels
) : IDisposable
{
    private readonly Dictionary<int, LayerContext> others = [];
    private readonly Stack<IDisposable> owned = new();

    /// <summary>The pass for the layers of a stage.</summary>
    /// <param name="stage">Index of the stage.</param>
    public LayerContext On(int stage)
    {
        if (stage == 0)
        {
            return first;
        }

        if (!others.TryGetValue(stage, out var there))
        {
            using var scope = NewDisposeScope();
            var device = devices[stage];
            there = others[stage] = Own(
                new LayerContext(first.Cosine.to(device).alias(), first.Sine.to(device).alias())
                {
                    Kernels = kernels[stage],
                    Sequences = Own(new SequenceLayout(first.Sequences.Starts, device)),
                    Cache = first.Cache is { } cache ? Own(cache.On(device)) : null,
                    Adapters = first.Adapters is { } rows ? Own(rows.On(device)) : null,
                }
            );
        }

        return there;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        while (owned.TryPop(out var part))
        {
            part.Dispose();
        }
    }

    private T Own<T>(T part)
        where T : IDisposable
    {
        owned.Push(part);
        return part;
    }
}
