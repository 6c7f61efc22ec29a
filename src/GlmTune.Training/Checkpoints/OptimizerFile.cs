using System.Globalization;
using GlmTune.Files;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Training.Checkpoints;

/// <summary>Master weights and AdamW's moments, with each rank's slices in a file of its own. They can be read by any
/// number of ranks.</summary>
/// <remarks>A tensor's name is <c>parameter@first element:kind</c>, so a reader needs no information about the writer.
/// Everything is stored in the type in which the run keeps it; moments as codes have two further tensors with the
/// largest magnitude of each block.</remarks>
internal static class OptimizerFile
{
    private const int Master = 0;
    private const int FirstMoment = 1;
    private const int SecondMoment = 2;
    private const int FirstLargest = 3;
    private const int SecondLargest = 4;

    // Of the first three kinds, every element has one.
    private const int StatesOfElement = 3;

    private static readonly string[] Kinds = ["master", "exp_avg", "exp_avg_sq", "exp_avg_absmax", "exp_avg_sq_absmax"];

    /// <summary>Writes one rank's slices; what is replicated on every rank is written by rank 0 alone.</summary>
    /// <param name="folder">An existing folder, the same for all ranks.</param>
    /// <param name="shards">This rank's slices.</param>
    /// <param name="rank">Number of this rank.</param>
    /// <param name="worldSize">Number of ranks that write.</param>
    /// <returns>Name of the file; null if this rank has nothing of its own.</returns>
    public static string? Write(string folder, IReadOnlyList<FlatShard> shards, int rank = 0, int worldSize = 1) =>
        Write(
            folder,
            [.. shards.Select(shard => shard.State).Where(state => IsWrittenBy(state, rank))],
            rank,
            worldSize
        );

    /// <summary>Writes what belongs to one rank's file.</summary>
    /// <param name="folder">An existing folder, the same for all ranks.</param>
    /// <param name="states">The state of the slices that this rank writes (<see cref="IsWrittenBy"/>).</param>
    /// <param name="rank">Number of this rank.</param>
    /// <param name="worldSize">Number of ranks that write.</param>
    /// <returns>Name of the file; null if this rank has nothing of its own.</returns>
    public static string? Write(string folder, IReadOnlyList<ShardState> states, int rank, int worldSize)
    {
        var pieces = states
            .SelectMany(state => state.Layout.Overlaps().SelectMany(part => PiecesOf(state, part)))
            .ToList();
        if (pieces.Count == 0 && rank > 0)
        {
            return null;
        }

        using var writer = new SafetensorsWriter(
            Path.Combine(folder, NameOf(rank, worldSize)),
            [.. pieces.Select(piece => StoredTensors.Spec(piece.Name, piece.State.dtype, piece.Count))]
        );
        foreach (var piece in pieces)
        {
            using var values = piece.State.narrow(0, piece.From, piece.Count);
            StoredTensors.WithBytes(
                values,
                piece.State.dtype,
                (address, bytes) => writer.Write(piece.Name, address, bytes)
            );
        }

        writer.Complete();
        return NameOf(rank, worldSize);
    }

    /// <summary>Whether a rank writes a slice: its own, or for all ranks what each of them has.</summary>
    public static bool IsWrittenBy(ShardState state, int rank) => state.Layout.WorldSize > 1 || rank == 0;

    /// <summary>Whether a checkpoint has optimizer state.</summary>
    public static bool IsIn(string folder) => Disk.Files(folder, "optimizer-*.safetensors").Length > 0;

    /// <summary>Whether a file name is that of optimizer state.</summary>
    public static bool IsName(string file) =>
        file.StartsWith("optimizer-", StringComparison.Ordinal)
        && file.EndsWith(".safetensors", StringComparison.Ordinal);

    /// <summary>Reads the state of the given slices from the files of all ranks that wrote. State of another type is
    /// converted.</summary>
    /// <returns>What was converted, as sentences' parts: "AdamW's moments were float32 and are int8 now".</returns>
    /// <exception cref="InvalidDataException">Some state is missing, or is for other parameters; the message lists all
    /// problems.</exception>
    public static IReadOnlyList<string> Read(string folder, IReadOnlyList<FlatShard> shards)
    {
        SortedSet<string> converted = new(StringComparer.Ordinal);
        WithFiles(folder, stored => Fill(stored, shards, converted));
        foreach (var shard in shards)
        {
            shard.CopyMasterToCompute();
        }

        return [.. converted];
    }

    /// <summary>Yields the full master weights of parameters, one after another.</summary>
    /// <param name="folder">The checkpoint.</param>
    /// <param name="parameters">The parameters; their own values need not be in memory.</param>
    /// <param name="use">Called with a parameter and its values in its shape, float32 or wider, on the CPU; valid
    /// during the call.</param>
    /// <exception cref="InvalidDataException">Some values are missing; the message lists all problems.</exception>
    public static void ReadMasters(string folder, IEnumerable<Parameter> parameters, Action<Parameter, Tensor> use) =>
        WithFiles(
            folder,
            stored =>
            {
                var problems = new List<string>();
                foreach (var parameter in parameters)
                {
                    using var scope = NewDisposeScope();
                    var flat = empty(
                        parameter.Count,
                        parameter.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32,
                        CPU
                    );
                    var found = ReadPart(stored, parameter, Master, 0, flat);
                    if (found == parameter.Count)
                    {
                        use(parameter, flat.view(parameter.Shape));
                    }
                    else
                    {
                        problems.Add($"'{parameter.Name}': found {found} of {parameter.Count} values.");
                    }
                }

                return problems;
            }
        );

    private static List<string> Fill(
        Dictionary<string, List<StoredTensor>> stored,
        IReadOnlyList<FlatShard> shards,
        SortedSet<string> converted
    )
    {
        var problems = new List<string>();
        foreach (var shard in shards)
        {
            foreach (var part in shard.Overlaps())
            {
                using var scope = NewDisposeScope();
                var moments = shard.Moments.AreCoded
                    ? shard.Moments.Narrow(part.InShard, part.Count)
                    : new Moments(
                        shard.Moments.First.narrow(0, part.InShard, part.Count),
                        shard.Moments.Second.narrow(0, part.InShard, part.Count)
                    );
                var (first, second) = (
                    MomentsOf(stored, part.Parameter, FirstMoment, FirstLargest),
                    MomentsOf(stored, part.Parameter, SecondMoment, SecondLargest)
                );
                var found =
                    ReadPart(
                        stored,
                        part.Parameter,
                        Master,
                        part.InParameter,
                        shard.Master.narrow(0, part.InShard, part.Count)
                    )
                    + first.Read(part.InParameter, moments.First, moments.FirstLargest, signed: true)
                    + second.Read(part.InParameter, moments.Second, moments.SecondLargest, signed: false);
                if (found != part.Count * StatesOfElement)
                {
                    problems.Add($"'{part.Parameter.Name}': found {found} of {part.Count * StatesOfElement} values.");
                }

                Compare("AdamW's moments", first.Type, StoredMoments.NameOf(moments.First.dtype));
                Compare("the trained weights", WeightsType(part.Parameter), StoredMoments.NameOf(shard.Master.dtype));
            }
        }

        return problems;

        void Compare(string what, string? before, string now)
        {
            if (before is not null && before != now)
            {
                converted.Add($"{what} were stored as {before}, and this run keeps {now}");
            }
        }

        string? WeightsType(Parameter parameter) =>
            new StoredMoments([
                .. Pieces(stored, parameter, Master).Select(piece => (piece.Start, piece.Tensor, (StoredTensor?)null)),
            ]).Type;
    }

    private static StoredMoments MomentsOf(
        Dictionary<string, List<StoredTensor>> stored,
        Parameter parameter,
        int kind,
        int largest
    )
    {
        var magnitudes = Pieces(stored, parameter, largest).ToDictionary(piece => piece.Start, piece => piece.Tensor);
        return new([
            .. Pieces(stored, parameter, kind)
                .Select(piece => (piece.Start, piece.Tensor, magnitudes.GetValueOrDefault(piece.Start))),
        ]);
    }

    private static void WithFiles(string folder, Func<Dictionary<string, List<StoredTensor>>, List<string>> read)
    {
        List<SafetensorsFile> files = [];
        try
        {
            foreach (var path in Disk.Files(folder, "optimizer-*.safetensors"))
            {
                files.Add(SafetensorsFile.Open(path));
            }

            var stored = files
                .SelectMany(file => file.Tensors)
                .GroupBy(tensor => PartsOf(tensor.Name).Parameter)
                .ToDictionary(group => group.Key, group => group.ToList());
            var problems = read(stored);
            if (problems.Count > 0)
            {
                throw new InvalidDataException(
                    $"{folder}: the optimizer state does not match the trainable parameters ({problems.Count} "
                        + $"problems):\n  {string.Join("\n  ", problems)}"
                );
            }
        }
        finally
        {
            files.ForEach(file => file.Dispose());
        }
    }

    // Number of elements [first, first + n) of a parameter's state that were found.
    private static long ReadPart(
        Dictionary<string, List<StoredTensor>> stored,
        Parameter parameter,
        int kind,
        long first,
        Tensor target
    )
    {
        var found = 0L;
        foreach (var (start, tensor) in Pieces(stored, parameter, kind))
        {
            var from = Math.Max(start, first);
            var to = Math.Min(start + tensor.Shape[0], first + target.numel());
            if (from < to)
            {
                using var place = target.narrow(0, from - first, to - from);
                StoredTensors.CopyTo(tensor, from - start, place);
                found += to - from;
            }
        }

        return found;
    }

    private static (string Parameter, long Start, int Kind) PartsOf(string name)
    {
        var (at, colon) = (name.LastIndexOf('@'), name.LastIndexOf(':'));
        var kind = colon < 0 ? -1 : Array.IndexOf(Kinds, name[(colon + 1)..]);
        return
            at > 0
            && colon > at
            && kind >= 0
            && long.TryParse(name.AsSpan(at + 1, colon - at - 1), CultureInfo.InvariantCulture, out var start)
            ? (name[..at], start, kind)
            : throw new InvalidDataException($"'{name}' is not a valid name in an optimizer state.");
    }

    private static IEnumerable<(long Start, StoredTensor Tensor)> Pieces(
        Dictionary<string, List<StoredTensor>> stored,
        Parameter parameter,
        int kind
    ) =>
        (stored.GetValueOrDefault(parameter.Name) ?? [])
            .Select(tensor => (Parts: PartsOf(tensor.Name), Tensor: tensor))
            .Where(entry => entry.Parts.Kind == kind)
            .Select(entry => (entry.Parts.Start, entry.Tensor));

    private static IEnumerable<Piece> PiecesOf(
        ShardState shard,
        (Parameter Parameter, long InShard, long InParameter, long Count) part
    )
    {
        Piece Of(int kind, Tensor state, int elements = 1) =>
            new(
                string.Create(CultureInfo.InvariantCulture, $"{part.Parameter.Name}@{part.InParameter}:{Kinds[kind]}"),
                state,
                part.InShard / elements,
                (part.Count + elements - 1) / elements
            );
        yield return Of(Master, shard.Master);
        yield return Of(FirstMoment, shard.Moments.First);
        yield return Of(SecondMoment, shard.Moments.Second);
        if (shard.Moments is { FirstLargest: { } first, SecondLargest: { } second })
        {
            yield return Of(FirstLargest, first, BlockCodes.BlockSize);
            yield return Of(SecondLargest, second, BlockCodes.BlockSize);
        }
    }

    private static string NameOf(int rank, int worldSize) =>
        string.Create(CultureInfo.InvariantCulture, $"optimizer-{rank:00000}-of-{worldSize:00000}.safetensors");

    // A run of a shard's state, and its name in the file.
    private readonly record struct Piece(string Name, Tensor State, long From, long Count);
}
