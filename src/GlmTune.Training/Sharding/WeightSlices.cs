using GlmTune.Collectives;
using GlmTune.Kernels;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>One rank's slices of a model's weights at rest, taken unit by unit as the model is loaded, so that no rank ever holds all of it.</summary>
/// <remarks>
/// Parameters with fewer elements than the threshold stay whole. What is taken is in memory only between a gather and its release.
/// Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, section 5.3.
/// </remarks>
/// <param name="options">The threshold, and where slices rest.</param>
/// <param name="ranks">The ranks.</param>
public sealed class WeightSlices(ShardingOptions options, ICollectives ranks) : IDisposable
{
    private readonly Dictionary<Layer, List<WeightSlice>> byLayer = [];

    /// <summary>Takes this rank's slices of a unit's weights, and lets the whole ones go.</summary>
    /// <param name="unit">Loaded, without adapters; units that were taken already are left alone.</param>
    public void Take(Layer unit) => Take(unit, [.. unit.Parameters]);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var slice in byLayer.Values.SelectMany(slices => slices))
        {
            slice.Dispose();
        }
    }

    internal void Take(Layer unit, IReadOnlyList<Parameter> weights)
    {
        if (byLayer.ContainsKey(unit))
        {
            return;
        }
        byLayer.Add(unit, [.. weights.Where(weight => weight.Count >= options.PersistenceThreshold)
            .GroupBy(weight => (weight.Decays, weight.Type))
            .Select(group => new WeightSlice(
                new FlatLayout(unit, [.. group], ranks.Rank, ranks.WorldSize), group.Key.Decays, options.OffloadParameters, options.PinMemory))]);
    }

    internal IReadOnlyList<WeightSlice> Of(Layer unit) => byLayer.GetValueOrDefault(unit) ?? [];
}

/// <summary>One rank's slice of some weights of a unit: at rest in the layers' type, or, where they are trained, as the shard's masters.</summary>
internal sealed class WeightSlice : IDisposable
{
    private readonly PinnedMemory? locked;
    private readonly HostCopies? copies;
    private Tensor? rest;

    public WeightSlice(FlatLayout layout, bool decays, bool onHost, bool pinned)
    {
        (Layout, Decays) = (layout, decays);
        var taken = zeros(layout.Length, layout.Type, layout.Device);
        foreach (var (parameter, inSlice, inParameter, count) in layout.Overlaps())
        {
            using var scope = NewDisposeScope();
            taken.narrow(0, inSlice, count).copy_(parameter.Value.reshape(-1).narrow(0, inParameter, count));
        }
        foreach (var segment in layout.Segments)
        {
            segment.Parameter.Release();
        }
        OnHost = onHost;
        if (!onHost)
        {
            rest = taken.DetachFromDisposeScope();
            return;
        }
        if (pinned && layout.Device.type == DeviceType.CUDA)
        {
            locked = new PinnedMemory(layout.Device, layout.Length * Parameter.BytesOf(layout.Type));
            copies = new HostCopies(layout.Device);
            copies.ToHost(taken, locked.Address).Wait();
        }
        else
        {
            rest = taken.cpu().DetachFromDisposeScope();
        }
        if (!ReferenceEquals(rest, taken))
        {
            taken.Dispose();
        }
    }

    public FlatLayout Layout { get; }

    public bool Decays { get; }

    /// <summary>Whether the slice rests in host memory.</summary>
    public bool OnHost { get; }

    /// <summary>The slice's trained state; null: it is frozen.</summary>
    public FlatShard? Shard { get; private set; }

    /// <summary>Makes the slice a trained one: its values move to the masters, or with these on the host stay beside them.</summary>
    public FlatShard Train(bool stateOnHost, ScalarType? gradientType)
    {
        using (NewDisposeScope())
        {
            var values = empty(Layout.Length, Layout.Type, Layout.Device);
            ReadTo(values)?.Await();
            Shard = new FlatShard(Layout, Decays, values, gradientType, stateOnHost);
        }
        // Whatever is trained is gathered from the shard: from its values in the layers' type, or its masters, cast.
        rest?.Dispose();
        rest = null;
        return Shard;
    }

    /// <summary>Writes the newest values to <paramref name="target"/> on the device [n].</summary>
    /// <returns>A copy under way from the host, to be awaited before the values are used; null: none.</returns>
    public HostCopies.Copy? ReadTo(Tensor target)
    {
        if (Shard is null && locked is not null)
        {
            return copies!.ToDevice(locked.Address, target);
        }
        target.copy_(Shard?.Current ?? rest!);
        return null;
    }

    public void Dispose()
    {
        rest?.Dispose();
        copies?.Dispose();
        locked?.Dispose();
    }
}
