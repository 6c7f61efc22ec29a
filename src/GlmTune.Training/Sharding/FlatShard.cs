using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>One rank's slice of trained parameters: master weights (or the weights themselves), summed gradient, and
/// AdamW's two moments, each as a flat tensor.</summary>
internal sealed class FlatShard : IDisposable
{
    private readonly List<PinnedMemory> locked = [];
    private readonly Tensor? whole;
    private readonly bool ownsMaster;
    private Tensor? gradient;

    /// <param name="layout">The parameters and the slice; their values must be in memory unless values are
    /// given.</param>
    /// <param name="decays">Whether weight decay applies to all of them.</param>
    /// <param name="storage">Types and places; null: everything in full precision on the device.</param>
    public FlatShard(FlatLayout layout, bool decays, ShardStorage? storage = null)
    {
        using var scope = NewDisposeScope(); // releases what was allocated, in case memory runs out
        storage ??= new ShardStorage();
        (Layout, Decays) = (layout, decays);
        ComputeRestsOnHost = storage.Compute is not null;
        Type = layout.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        HasMasters = !storage.OnlyCopy;
        GradientType = storage.GradientType ?? Type;
        foreach (var segment in layout.Segments)
        {
            segment.Parameter.CollectsInOwnType = !HasMasters;
        }

        var state = storage.OnHost ? CPU : layout.Device;
        try
        {
            if (HasMasters)
            {
                (Master, ownsMaster) = (Zeros(Type, state, storage.Pinned), true);
                Compute = storage.Compute ?? (storage.OnHost ? Zeros(layout.Type, layout.Device) : null);
            }
            else if (storage.Values is { } given)
            {
                Master = given;
            }
            else
            {
                (whole, ownsMaster) = (Joined(layout), true);
                Master = whole.narrow(0, layout.Start, layout.Length);
            }

            Moments = Moments.Zero(Length, MomentType(storage), state);
            if (storage is { OnHost: true, Pinned: true })
            {
                Moments = Lock(Moments);
            }

            if (Moments.AreCoded)
            {
                _ = BlockCodes.Values(layout.Device); // made here, because nothing can be while an update is recorded
            }

            gradient = storage.GradientComesAndGoes ? null : NewGradient();
            if (HasMasters && storage.Values is { } values)
            {
                Master.copy_(values);
                CopyMasterToCompute();
            }
            else if (HasMasters)
            {
                ReadMaster();
            }
        }
        catch
        {
            locked.ForEach(block => block.Dispose());
            throw;
        }

        foreach (
            var own in (IEnumerable<Tensor?>)
                [ownsMaster ? Master : null, whole, ComputeRestsOnHost ? null : Compute, gradient, .. Moments.Tensors]
        )
        {
            own?.DetachFromDisposeScope();
        }
    }

    /// <summary>The parameters and the slice.</summary>
    public FlatLayout Layout { get; }

    /// <summary>The layer.</summary>
    public Layer Layer => Layout.Layer;

    /// <summary>Whether weight decay applies.</summary>
    public bool Decays { get; }

    /// <summary>The parameters in order.</summary>
    public IReadOnlyList<FlatSegment> Segments => Layout.Segments;

    /// <summary>Index of this rank's first element in the flat run.</summary>
    public long Start => Layout.Start;

    /// <summary>Number of elements in this rank's slice.</summary>
    public long Length => Layout.Length;

    /// <summary>Number of elements in the flat run, including padding.</summary>
    public long PaddedCount => Layout.PaddedCount;

    /// <summary>Number of ranks that share the flat run; 1: every rank has all of it.</summary>
    public int WorldSize => Layout.WorldSize;

    /// <summary>Type in which updates are computed, and of what is kept in full precision: float32, or float64 for a
    /// float64 model.</summary>
    public ScalarType Type { get; }

    /// <summary>Type in which layers collect the gradients of these parameters.</summary>
    public ScalarType GradientType { get; }

    /// <summary>Whether there are master weights in full precision; otherwise the weights in the layers' type are the
    /// only copy.</summary>
    public bool HasMasters { get; }

    /// <summary>What an update changes [n]: master weights, or the weights themselves.</summary>
    public Tensor Master { get; }

    /// <summary>Values in the layers' type [n] if the master weights are on the host; null: <see cref="Master"/> is
    /// read.</summary>
    public Tensor? Compute { get; }

    /// <summary>Whether <see cref="Compute"/> is in host memory instead of on the layers' device.</summary>
    public bool ComputeRestsOnHost { get; }

    /// <summary>Whether the parameters' values are views of the run that an update changes, so that there is nothing to
    /// copy back.</summary>
    public bool HoldsParameters => whole is not null;

    /// <summary>The newest values where the layers' weights are stored [n], in their type there.</summary>
    public Tensor Current => Compute ?? Master;

    /// <summary>Gradient summed since the last update [n]: in full precision with master weights, otherwise in the
    /// layers' type.</summary>
    public Tensor Gradient => gradient ??= NewGradient().DetachFromDisposeScope();

    /// <summary>The gradient, if there is one in memory.</summary>
    public Tensor? CollectedGradient => gradient;

    /// <summary>Number of gradients added since the last update.</summary>
    public int Additions { get; internal set; }

    /// <summary>AdamW's moments [n].</summary>
    public Moments Moments { get; }

    /// <summary>What a checkpoint keeps of it: views that later updates change.</summary>
    public ShardState State => new(Layout, Master, Moments);

    /// <summary>The parts of this rank's slice that belong to parameters: offset in the slice, offset in the parameter,
    /// length.</summary>
    public IEnumerable<(Parameter Parameter, long InShard, long InParameter, long Count)> Overlaps() =>
        Layout.Overlaps();

    /// <summary>Copies the master weights from the parameters, for example after loading an adapter.</summary>
    public void ReadMaster()
    {
        if (!HasMasters)
        {
            return;
        }

        using var scope = NewDisposeScope();
        foreach (var (parameter, inShard, inParameter, count) in Overlaps())
        {
            Master.narrow(0, inShard, count).copy_(parameter.Value.reshape(-1).narrow(0, inParameter, count));
        }

        CopyMasterToCompute();
    }

    /// <summary>Copies master weights that were written on the host to the device; does nothing if they are on the
    /// device.</summary>
    public void CopyMasterToCompute() => Compute?.copy_(Master);

    /// <summary>Clears the gradient, or releases it if it only exists between a layer's backward pass and its
    /// update.</summary>
    /// <param name="release">Whether its memory is released.</param>
    public void ClearGradient(bool release = false)
    {
        Additions = 0;
        if (release)
        {
            gradient?.Dispose();
            gradient = null;
        }
        else
        {
            gradient?.zero_();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (ownsMaster)
        {
            Master.Dispose();
        }

        if (!ComputeRestsOnHost)
        {
            Compute?.Dispose();
        }

        whole?.Dispose();
        gradient?.Dispose();
        Moments.Dispose();
        locked.ForEach(block => block.Dispose());
        locked.Clear();
    }

    private ScalarType MomentType(ShardStorage storage) =>
        Type == ScalarType.Float64
            ? Type
            : storage.Moments switch
            {
                StateType.BFloat16 => ScalarType.BFloat16,
                StateType.Int8 => ScalarType.Byte,
                _ => ScalarType.Float32,
            };

    private Tensor NewGradient() => Zeros(HasMasters ? Type : Layout.Type, Layout.Device);

    private Tensor Zeros(ScalarType type, Device device, bool pinned = false) =>
        pinned ? Lock(zeros(Length, type, device)) : zeros(Length, type, device);

    private Moments Lock(Moments plain) =>
        new(
            Lock(plain.First),
            Lock(plain.Second),
            plain.FirstLargest is null ? null : Lock(plain.FirstLargest),
            plain.SecondLargest is null ? null : Lock(plain.SecondLargest)
        );

    // Page-locked, so that copies overlap with computation.
    private Tensor Lock(Tensor plain)
    {
        var block = new PinnedMemory(Layout.Device, plain.numel() * plain.element_size());
        locked.Add(block);
        var view = block.View(plain.dtype, plain.numel());
        view.zero_();
        plain.Dispose();
        return view;
    }

    // All parameters' values in one run, of which they become views. One alone is such a run already.
    private static Tensor Joined(FlatLayout layout)
    {
        if (layout is { Segments: [{ Parameter.Value: var only }], WorldSize: 1 } && only.is_contiguous())
        {
            return only.view(-1);
        }

        var run = zeros(layout.PaddedCount, layout.Type, layout.Device);
        foreach (var segment in layout.Segments)
        {
            using var scope = NewDisposeScope();
            var view = FlatLayout.View(run, segment);
            view.copy_(segment.Parameter.Value);
            segment.Parameter.Value = view;
        }

        return run;
    }
}
