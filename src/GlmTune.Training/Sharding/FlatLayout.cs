using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Location of one parameter in the flat run of a <see cref="FlatLayout"/>.</summary>
/// <param name="Parameter">The parameter.</param>
/// <param name="Start">Index of its first element in the flat run.</param>
internal readonly record struct FlatSegment(Parameter Parameter, long Start)
{
    /// <summary>Index after its last element.</summary>
    public long End => Start + Parameter.Count;
}

/// <summary>Parameters of a layer concatenated and divided into equal slices, one per rank: the one place that
/// determines which slice belongs to a rank.</summary>
/// <remarks>Parameters and slices start at multiples of <see cref="Alignment"/> or more; gaps and the end are padding.
/// Rank r owns elements [r·n, (r+1)·n), where n is <see cref="Length"/>. Immutable.</remarks>
internal sealed class FlatLayout
{
    /// <summary>Parameters and slices start at multiples of this many elements: 16 bytes of a 16-bit type, as vector
    /// loads require.</summary>
    public const int Alignment = 8;

    /// <param name="layer">The layer.</param>
    /// <param name="parameters">The parameters in the order of the flat run; at least one, all of the same
    /// type.</param>
    /// <param name="rank">Number of this rank.</param>
    /// <param name="worldSize">Number of ranks that share the run.</param>
    /// <param name="alignment">Parameters and slices start at multiples of this; a multiple of
    /// <see cref="Alignment"/>.</param>
    public FlatLayout(
        Layer layer,
        IReadOnlyList<Parameter> parameters,
        int rank,
        int worldSize,
        int alignment = Alignment
    )
    {
        (Layer, Rank, WorldSize) = (layer, rank, worldSize);
        var segments = new List<FlatSegment>();
        foreach (var parameter in parameters)
        {
            segments.Add(new FlatSegment(parameter, segments.Count == 0 ? 0 : RoundUp(segments[^1].End, alignment)));
        }

        Segments = segments;
        Length = worldSize == 1 ? segments[^1].End : RoundUp((segments[^1].End + worldSize - 1) / worldSize, alignment);
    }

    /// <summary>The layer.</summary>
    public Layer Layer { get; }

    /// <summary>The parameters in order.</summary>
    public IReadOnlyList<FlatSegment> Segments { get; }

    /// <summary>Number of this rank.</summary>
    public int Rank { get; }

    /// <summary>Number of ranks that share the run; 1: this rank has all of it.</summary>
    public int WorldSize { get; }

    /// <summary>Number of elements in a slice.</summary>
    public long Length { get; }

    /// <summary>Index of this rank's first element in the flat run.</summary>
    public long Start => Length * Rank;

    /// <summary>Number of elements in the flat run, including padding.</summary>
    public long PaddedCount => Length * WorldSize;

    /// <summary>Type in which layers compute with these parameters.</summary>
    public ScalarType Type => Segments[0].Parameter.Type;

    /// <summary>Device on which layers compute.</summary>
    public Device Device => Segments[0].Parameter.Device;

    /// <summary>The parts of this rank's slice that belong to parameters: offset in the slice, offset in the parameter,
    /// length.</summary>
    public IEnumerable<(Parameter Parameter, long InSlice, long InParameter, long Count)> Overlaps() =>
        Overlaps(Start, Length);

    /// <summary>The parts of elements [start, start + length) that belong to parameters: offset in that range, offset
    /// in the parameter, length.</summary>
    public IEnumerable<(Parameter Parameter, long InSlice, long InParameter, long Count)> Overlaps(
        long start,
        long length
    )
    {
        foreach (var segment in Segments)
        {
            var from = Math.Max(segment.Start, start);
            var to = Math.Min(segment.End, start + length);
            if (from < to)
            {
                yield return (segment.Parameter, from - start, from - segment.Start, to - from);
            }
        }
    }

    /// <summary>A parameter's values in a flat run, in its shape: a view, in the caller's dispose scope.</summary>
    /// <param name="flat">The whole run [PaddedCount], of any type.</param>
    /// <param name="segment">The parameter.</param>
    public static Tensor View(Tensor flat, FlatSegment segment) =>
        flat.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape);

    private static long RoundUp(long count, long multiple) => (count + multiple - 1) / multiple * multiple;
}
