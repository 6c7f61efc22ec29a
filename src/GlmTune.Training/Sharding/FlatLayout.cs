using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Where one parameter lies in the flat run of a <see cref="FlatLayout"/>.</summary>
/// <param name="Parameter">The parameter.</param>
/// <param name="Start">First element in the flat run.</param>
public readonly record struct FlatSegment(Parameter Parameter, long Start)
{
    /// <summary>One past the last element.</summary>
    public long End => Start + Parameter.Count;
}

/// <summary>Some parameters of a layer laid end to end and cut into equal slices, one a rank: which slice is mine,
/// whatever is sharded.</summary>
/// <remarks>
/// Parameters begin at multiples of <see cref="Alignment"/>, as does every slice; the gaps and the end are padding.
/// Rank r owns elements [r·n, (r+1)·n), n being <see cref="Length"/>. Immutable. </remarks>
public sealed class FlatLayout
{
    /// <summary>Elements to a multiple of which parameters and slices begin: 16 bytes of a 16-bit type, which vector
    /// loads need.</summary>
    public const int Alignment = 8;

    /// <param name="layer">Whose parameters.</param>
    /// <param name="parameters">In the order of the flat run; at least one, all of one type.</param>
    /// <param name="rank">Of this process.</param>
    /// <param name="worldSize">Number of ranks that share the run.</param>
    public FlatLayout(Layer layer, IReadOnlyList<Parameter> parameters, int rank, int worldSize)
    {
        (Layer, Rank, WorldSize) = (layer, rank, worldSize);
        var segments = new List<FlatSegment>();
        foreach (var parameter in parameters)
        {
            segments.Add(new FlatSegment(parameter, segments.Count == 0 ? 0 : RoundUp(segments[^1].End, Alignment)));
        }

        Segments = segments;
        Length = worldSize == 1 ? segments[^1].End : RoundUp((segments[^1].End + worldSize - 1) / worldSize, Alignment);
    }

    /// <summary>Whose parameters.</summary>
    public Layer Layer { get; }

    /// <summary>The parameters in their order.</summary>
    public IReadOnlyList<FlatSegment> Segments { get; }

    /// <summary>Of this process.</summary>
    public int Rank { get; }

    /// <summary>Number of ranks that share the run; 1: this rank has all of it.</summary>
    public int WorldSize { get; }

    /// <summary>Elements of a slice.</summary>
    public long Length { get; }

    /// <summary>First element of this rank's slice in the flat run.</summary>
    public long Start => Length * Rank;

    /// <summary>Elements of the flat run, padding included.</summary>
    public long PaddedCount => Length * WorldSize;

    /// <summary>Type that layers compute with these parameters in.</summary>
    public ScalarType Type => Segments[0].Parameter.Type;

    /// <summary>Where layers compute.</summary>
    public Device Device => Segments[0].Parameter.Device;

    /// <summary>The parts of this rank's slice that belong to parameters: where in the slice, where in the parameter,
    /// how many.</summary>
    public IEnumerable<(Parameter Parameter, long InSlice, long InParameter, long Count)> Overlaps() =>
        Overlaps(Start, Length);

    /// <summary>The parts of elements [start, start + length) that belong to parameters: where in that range, where in
    /// the parameter, how many.</summary>
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
    /// <param name="segment">Which parameter.</param>
    public static Tensor View(Tensor flat, FlatSegment segment) =>
        flat.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape);

    private static long RoundUp(long count, long multiple) => (count + multiple - 1) / multiple * multiple;
}
