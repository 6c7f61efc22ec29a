using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>One rank's slice of trained parameters: float32 master weights, summed gradient, and AdamW's two moments,
/// each as a flat tensor.</summary>
internal sealed class FlatShard : IDisposable
{
    /// <param name="layout">The parameters and the slice; their values must be in memory unless
    /// <paramref name="values"/> are given.</param>
    /// <param name="decays">Whether weight decay applies to all of them.</param>
    /// <param name="values">This rank's slice of the values [n], of any type; null: read from the parameters.</param>
    /// <param name="gradientType">Type in which layers collect their gradients; null: <see cref="Type"/>.</param>
    /// <param name="onHost">Whether masters and moments rest in host memory, where <see cref="Optimization.HostAdamW"/>
    /// updates them.</param>
    /// <param name="compute">With <paramref name="onHost"/>: host memory [n] in the layers' type in which values are
    /// stored too, owned by the caller; null: they are on the device.</param>
    public FlatShard(
        FlatLayout layout,
        bool decays,
        Tensor? values = null,
        ScalarType? gradientType = null,
        bool onHost = false,
        Tensor? compute = null
    )
    {
        using var scope = NewDisposeScope(); // releases what was allocated, in case memory runs out
        (Layout, Decays, ComputeRestsOnHost) = (layout, decays, compute is not null);
        Type = layout.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        GradientType = gradientType ?? Type;
        var state = onHost ? CPU : layout.Device;
        Master = Zeros(Type, state);
        FirstMoment = Zeros(Type, state);
        SecondMoment = Zeros(Type, state);
        Gradient = Zeros(Type, layout.Device);
        Compute = compute ?? (onHost ? Zeros(layout.Type, layout.Device) : null);
        if (values is null)
        {
            ReadMaster();
        }
        else
        {
            Master.copy_(values);
            CopyMasterToCompute();
        }

        foreach (var own in (Tensor?[])[Master, FirstMoment, SecondMoment, Gradient, compute is null ? Compute : null])
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

    /// <summary>Type of the four tensors: float32, or float64 for a float64 model.</summary>
    public ScalarType Type { get; }

    /// <summary>Type in which layers collect the gradients of these parameters.</summary>
    public ScalarType GradientType { get; }

    /// <summary>Master weights in full precision [n].</summary>
    public Tensor Master { get; }

    /// <summary>Values in the layers' type [n] if the master weights are on the host; null: the master weights are on
    /// the device.</summary>
    public Tensor? Compute { get; }

    /// <summary>Whether <see cref="Compute"/> is in host memory instead of on the layers' device.</summary>
    public bool ComputeRestsOnHost { get; }

    /// <summary>The newest values where the layers' weights are stored [n], in their type there.</summary>
    public Tensor Current => Compute ?? Master;

    /// <summary>Gradient summed since the last update [n].</summary>
    public Tensor Gradient { get; }

    /// <summary>AdamW's first moment [n].</summary>
    public Tensor FirstMoment { get; }

    /// <summary>AdamW's second moment [n].</summary>
    public Tensor SecondMoment { get; }

    /// <summary>The parts of this rank's slice that belong to parameters: offset in the slice, offset in the parameter,
    /// length.</summary>
    public IEnumerable<(Parameter Parameter, long InShard, long InParameter, long Count)> Overlaps() =>
        Layout.Overlaps();

    /// <summary>Copies the master weights from the parameters, for example after loading an adapter.</summary>
    public void ReadMaster()
    {
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

    /// <inheritdoc/>
    public void Dispose()
    {
        Master.Dispose();
        if (!ComputeRestsOnHost)
        {
            Compute?.Dispose();
        }

        Gradient.Dispose();
        FirstMoment.Dispose();
        SecondMoment.Dispose();
    }

    private Tensor Zeros(ScalarType type, Device device) => zeros(Length, type, device);
}
