using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Where one parameter lies in the flat run that a <see cref="FlatShard"/> is a slice of.</summary>
/// <param name="Parameter">The parameter.</param>
/// <param name="Start">First element in the flat run.</param>
public readonly record struct FlatSegment(Parameter Parameter, long Start)
{
    /// <summary>One past the last element.</summary>
    public long End => Start + Parameter.Count;
}

/// <summary>One rank's slice of some parameters laid end to end: float32 master values, gradient sum, and the two moments of AdamW.</summary>
/// <remarks>The flat run is padded at its end to a multiple of the number of ranks; rank r owns elements [r·n, (r+1)·n).</remarks>
public sealed class FlatShard : IDisposable
{
    /// <param name="layer">Whose parameters.</param>
    /// <param name="parameters">In the order of the flat run; their values must be in memory.</param>
    /// <param name="decays">Whether weight decay applies to all of them.</param>
    /// <param name="rank">Of this process.</param>
    /// <param name="worldSize">Number of ranks that share the run.</param>
    public FlatShard(Layer layer, IReadOnlyList<Parameter> parameters, bool decays, int rank, int worldSize)
    {
        (Layer, Decays) = (layer, decays);
        var segments = new List<FlatSegment>();
        foreach (var parameter in parameters)
        {
            segments.Add(new FlatSegment(parameter, segments.Count == 0 ? 0 : segments[^1].End));
        }
        Segments = segments;
        Length = (segments[^1].End + worldSize - 1) / worldSize;
        Start = Length * rank;
        PaddedCount = Length * worldSize;
        var device = parameters[0].Device;
        Type = parameters[0].Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        Master = zeros(Length, Type, device).DetachFromDisposeScope();
        Gradient = zeros(Length, Type, device).DetachFromDisposeScope();
        FirstMoment = zeros(Length, Type, device).DetachFromDisposeScope();
        SecondMoment = zeros(Length, Type, device).DetachFromDisposeScope();
        ReadMaster();
    }

    /// <summary>Whose parameters.</summary>
    public Layer Layer { get; }

    /// <summary>Whether weight decay applies.</summary>
    public bool Decays { get; }

    /// <summary>The parameters in their order.</summary>
    public IReadOnlyList<FlatSegment> Segments { get; }

    /// <summary>First element of this rank's slice in the flat run.</summary>
    public long Start { get; }

    /// <summary>Elements of this rank's slice.</summary>
    public long Length { get; }

    /// <summary>Elements of the flat run, padding included.</summary>
    public long PaddedCount { get; }

    /// <summary>Type of the four tensors: float32, or float64 for a float64 model.</summary>
    public ScalarType Type { get; }

    /// <summary>Values in full precision [n].</summary>
    public Tensor Master { get; }

    /// <summary>Gradient summed since the last update [n].</summary>
    public Tensor Gradient { get; }

    /// <summary>AdamW's first moment [n].</summary>
    public Tensor FirstMoment { get; }

    /// <summary>AdamW's second moment [n].</summary>
    public Tensor SecondMoment { get; }

    /// <summary>The parts of this rank's slice that belong to parameters: where in the slice, where in the parameter, how many.</summary>
    public IEnumerable<(Parameter Parameter, long InShard, long InParameter, long Count)> Overlaps()
    {
        foreach (var segment in Segments)
        {
            var from = Math.Max(segment.Start, Start);
            var to = Math.Min(segment.End, Start + Length);
            if (from < to)
            {
                yield return (segment.Parameter, from - Start, from - segment.Start, to - from);
            }
        }
    }

    /// <summary>Takes the master values from the parameters, as when an adapter was loaded.</summary>
    public void ReadMaster()
    {
        using var scope = NewDisposeScope();
        foreach (var (parameter, inShard, inParameter, count) in Overlaps())
        {
            Master.narrow(0, inShard, count).copy_(parameter.Value.reshape(-1).narrow(0, inParameter, count));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Master.Dispose();
        Gradient.Dispose();
        FirstMoment.Dispose();
        SecondMoment.Dispose();
    }
}
