using GlmTune.Collectives;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>The sharded weights of one unit: released, being gathered, or in memory as views of flat buffers.</summary>
internal sealed class GatheredUnit(Layer layer, IReadOnlyList<WeightSlice> slices, ICollectives ranks) : IDisposable
{
    private readonly List<Flat> flats = [];
    private bool viewed;

    public Layer Layer => layer;

    /// <summary>Number of elements in memory once gathered, including padding.</summary>
    public long Elements { get; } = slices.Sum(slice => slice.Layout.PaddedCount);

    /// <summary>Whether a gather has been started and not yet released.</summary>
    public bool IsLive => flats.Count > 0;

    /// <summary>Whether some of it is frozen, so that no shard has its values.</summary>
    public bool HasFrozen => slices.Any(slice => slice.Shard is null);

    /// <summary>Starts to gather the weights; does nothing if they are already live.</summary>
    public void Start(CallLabel label)
    {
        if (IsLive)
        {
            return;
        }

        foreach (var slice in slices)
        {
            using var scope = NewDisposeScope();
            var layout = slice.Layout;
            var buffer = empty(layout.PaddedCount, layout.Type, layout.Device);
            var mine = buffer.narrow(0, layout.Start, layout.Length);
            var copy = slice.ReadTo(mine);
            // Weights in host memory cannot be sent before they are on the device, so they are gathered on demand.
            flats.Add(
                new Flat(layout, buffer.DetachFromDisposeScope(), mine.DetachFromDisposeScope(), copy)
                {
                    Call = copy is null ? ranks.AllGather(mine, buffer, label) : null,
                }
            );
        }
    }

    /// <summary>Makes the parameters' values available.</summary>
    public void Finish(CallLabel label)
    {
        if (viewed)
        {
            return;
        }

        foreach (var flat in flats)
        {
            flat.Arrive(ranks, label);
            using var scope = NewDisposeScope();
            foreach (var segment in flat.Layout.Segments)
            {
                segment.Parameter.Value = FlatLayout.View(flat.Buffer, segment);
            }
        }

        viewed = true;
    }

    /// <summary>Releases the weights.</summary>
    public void Release(CallLabel label)
    {
        foreach (var flat in flats)
        {
            flat.Arrive(ranks, label);
            foreach (var segment in flat.Layout.Segments)
            {
                segment.Parameter.Release();
            }

            flat.Buffer.Dispose();
            flat.Mine.Dispose();
        }

        flats.Clear();
        viewed = false;
    }

    public void Dispose()
    {
        // After a failure of the run, pending calls end with it and are not waited for.
        foreach (var flat in flats)
        {
            flat.Buffer.Dispose();
            flat.Mine.Dispose();
        }

        flats.Clear();
    }

    private sealed class Flat(FlatLayout layout, Tensor buffer, Tensor mine, HostCopies.Copy? copy)
    {
        private HostCopies.Copy? coming = copy;

        public FlatLayout Layout => layout;

        public Tensor Buffer => buffer;

        public Tensor Mine => mine;

        public Pending? Call { get; set; }

        public void Arrive(ICollectives ranks, CallLabel label)
        {
            if (coming is { } copy)
            {
                copy.Await();
                coming = null;
                Call = ranks.AllGather(mine, buffer, label);
            }

            Call?.Wait();
            Call = null;
        }
    }
}
