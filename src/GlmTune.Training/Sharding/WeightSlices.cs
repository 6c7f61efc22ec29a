using GlmTune.Collectives;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>One rank's slices of a model's weights, taken unit by unit while the model is loaded, so that no rank ever
/// holds all of it.</summary>
/// <remarks>Parameters with fewer elements than the threshold stay whole, and so do those stored in fp8. Sliced weights
/// are in memory only between a gather and its release. Source: Rajbhandari et al., ZeRO, arXiv:1910.02054, section
/// 5.3.</remarks>
/// <param name="options">The threshold, and where slices are stored.</param>
/// <param name="ranks">The ranks.</param>
internal sealed class WeightSlices(ShardingOptions options, ICollectives ranks) : IDisposable
{
    private readonly Dictionary<Layer, List<WeightSlice>> byLayer = [];
    private readonly HostCopies? copies = options.OffloadParameters ? new HostCopies(ranks.Device) : null;

    /// <summary>Takes this rank's slices of a unit's weights, and releases the whole weights.</summary>
    /// <param name="unit">The loaded unit, without adapters; a unit that was already sliced is left unchanged.</param>
    public void Take(Layer unit) => Take(unit, [.. unit.Parameters]);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var slice in byLayer.Values.SelectMany(slices => slices))
        {
            slice.Dispose();
        }

        copies?.Dispose();
    }

    internal void Take(Layer unit, IReadOnlyList<Parameter> weights)
    {
        if (byLayer.ContainsKey(unit))
        {
            return;
        }
        // Added one by one, so that each is disposed with the others if creating one fails.
        List<WeightSlice> taken = [];
        byLayer.Add(unit, taken);
        foreach (
            var group in weights
                .Where(weight => weight.Count >= options.PersistenceThreshold && weight.Quantized is null)
                .GroupBy(weight => (weight.Decays, weight.Type, weight.Trainable))
        )
        {
            taken.Add(
                new WeightSlice(
                    new FlatLayout(
                        unit,
                        [.. group],
                        ranks.Rank,
                        ranks.WorldSize,
                        TrainedShards.AlignmentOf(options, group.Key.Decays)
                    ),
                    group.Key.Decays,
                    copies,
                    options.PinMemory
                )
            );
        }
    }

    internal IReadOnlyList<WeightSlice> Of(Layer unit) => byLayer.GetValueOrDefault(unit) ?? [];
}

/// <summary>One rank's slice of some weights of a unit: stored in the layers' type or, if they are trained, as the
/// shard's master weights.</summary>
internal sealed class WeightSlice : IDisposable
{
    private readonly HostCopies? copies;
    private PinnedMemory? locked;
    private Tensor? rest;

    /// <param name="layout">The weights; they are in memory, and are released.</param>
    /// <param name="decays">Whether weight decay applies to them.</param>
    /// <param name="copies">Copies them from host memory, where they are then stored; null: they are stored on the
    /// device.</param>
    /// <param name="pinned">Whether that memory is page-locked.</param>
    public WeightSlice(FlatLayout layout, bool decays, HostCopies? copies, bool pinned)
    {
        (Layout, Decays, this.copies) = (layout, decays, copies);
        locked =
            copies is not null && pinned
                ? new PinnedMemory(layout.Device, layout.Length * layout.Type.ElementSize())
                : null;
        try
        {
            using var scope = NewDisposeScope();
            rest =
                locked?.View(layout.Type, layout.Length)
                ?? empty(layout.Length, layout.Type, copies is null ? layout.Device : CPU);
            rest.zero_();
            foreach (var (parameter, inSlice, inParameter, count) in layout.Overlaps())
            {
                rest.narrow(0, inSlice, count).copy_(parameter.Value.reshape(-1).narrow(0, inParameter, count));
            }

            rest.DetachFromDisposeScope();
        }
        catch
        {
            locked?.Dispose();
            throw;
        }

        foreach (var segment in layout.Segments)
        {
            segment.Parameter.Release();
        }
    }

    public FlatLayout Layout { get; }

    public bool Decays { get; }

    /// <summary>The slice's training state; null: it is frozen.</summary>
    public FlatShard? Shard { get; private set; }

    /// <summary>Makes the slice trainable.</summary>
    /// <remarks>With the optimizer on the device, the stored weights are the master weights there, cast when they are
    /// gathered. With the optimizer on the host, values in the layers' type are stored beside them, or on the device.
    /// Without master weights, the stored weights are what is updated, wherever they are.</remarks>
    /// <param name="storage">Types and places of the training state.</param>
    public FlatShard Train(ShardStorage storage)
    {
        var stays = storage.OnlyCopy || (copies is not null && storage.OnHost);
        Shard = new FlatShard(
            Layout,
            Decays,
            storage with
            {
                Values = rest,
                Compute = stays && !storage.OnlyCopy ? rest : null,
            }
        );
        if (!stays)
        {
            rest!.Dispose();
            locked?.Dispose();
            (rest, locked) = (null, null);
        }

        return Shard;
    }

    /// <summary>Writes the newest values to <paramref name="target"/> [n] on the device.</summary>
    /// <returns>A pending copy from the host, to be waited for before the values are used; null: none.</returns>
    public HostCopies.Copy? ReadTo(Tensor target)
    {
        if (rest is not null && copies is not null)
        {
            return copies.ToDevice(TensorAddress.Of(rest), target);
        }

        target.copy_(Shard?.Current ?? rest!);
        return null;
    }

    public void Dispose()
    {
        rest?.Dispose();
        locked?.Dispose();
    }
}
