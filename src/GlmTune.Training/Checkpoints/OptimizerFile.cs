using System.Globalization;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Training.Checkpoints;

/// <summary>Master weights and AdamW's moments, with each rank's slices in a file of its own. They can be read by any
/// number of ranks.</summary>
/// <remarks>A tensor's name is <c>parameter@first element:kind</c>, so a reader needs no information about the
/// writer.</remarks>
internal static class OptimizerFile
{
    private static readonly string[] Kinds = ["master", "exp_avg", "exp_avg_sq"];

    /// <summary>Writes one rank's slices; what is replicated on every rank is written by rank 0 alone.</summary>
    /// <param name="folder">An existing folder, the same for all ranks.</param>
    /// <param name="shards">This rank's slices.</param>
    /// <param name="rank">Number of this rank.</param>
    /// <param name="worldSize">Number of ranks that write.</param>
    /// <returns>Name of the file; null if this rank has nothing of its own.</returns>
    public static string? Write(string folder, IReadOnlyList<FlatShard> shards, int rank = 0, int worldSize = 1)
    {
        var pieces = shards
            .Where(shard => shard.WorldSize > 1 || rank == 0)
            .SelectMany(shard =>
                shard
                    .Overlaps()
                    .SelectMany(part =>
                        Kinds.Select(
                            (kind, k) =>
                                (
                                    Name: string.Create(
                                        CultureInfo.InvariantCulture,
                                        $"{part.Parameter.Name}@{part.InParameter}:{kind}"
                                    ),
                                    Shard: shard,
                                    Kind: k,
                                    part.InShard,
                                    part.Count
                                )
                        )
                    )
            )
            .ToList();
        if (pieces.Count == 0 && rank > 0)
        {
            return null;
        }

        using var writer = new SafetensorsWriter(
            Path.Combine(folder, NameOf(rank, worldSize)),
            [.. pieces.Select(piece => StoredTensors.Spec(piece.Name, piece.Shard.Type, piece.Count))]
        );
        foreach (var piece in pieces)
        {
            using var values = TensorOf(piece.Shard, piece.Kind).narrow(0, piece.InShard, piece.Count);
            StoredTensors.WithBytes(
                values,
                piece.Shard.Type,
                (address, bytes) => writer.Write(piece.Name, address, bytes)
            );
        }

        writer.Complete();
        return NameOf(rank, worldSize);
    }

    /// <summary>Whether a checkpoint has optimizer state.</summary>
    public static bool IsIn(string folder) => Directory.EnumerateFiles(folder, "optimizer-*.safetensors").Any();

    /// <summary>Whether a file name is that of optimizer state.</summary>
    public static bool IsName(string file) =>
        file.StartsWith("optimizer-", StringComparison.Ordinal)
        && file.EndsWith(".safetensors", StringComparison.Ordinal);

    /// <summary>Reads the state of the given slices from the files of all ranks that wrote.</summary>
    /// <exception cref="InvalidDataException">Some state is missing, or is for other parameters; the message lists all
    /// problems.</exception>
    public static void Read(string folder, IReadOnlyList<FlatShard> shards)
    {
        WithFiles(folder, stored => Fill(stored, shards));
        foreach (var shard in shards)
        {
            shard.CopyMasterToCompute();
        }
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
                    var found = ReadPart(stored, parameter, kind: 0, 0, flat);
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

    private static List<string> Fill(Dictionary<string, List<StoredTensor>> stored, IReadOnlyList<FlatShard> shards)
    {
        var problems = new List<string>();
        foreach (var shard in shards)
        {
            foreach (var part in shard.Overlaps())
            {
                var found = Kinds
                    .Select(
                        (_, kind) =>
                        {
                            using var target = TensorOf(shard, kind).narrow(0, part.InShard, part.Count);
                            return ReadPart(stored, part.Parameter, kind, part.InParameter, target);
                        }
                    )
                    .Sum();
                if (found != part.Count * Kinds.Length)
                {
                    problems.Add($"'{part.Parameter.Name}': found {found} of {part.Count * Kinds.Length} values.");
                }
            }
        }

        return problems;
    }

    private static void WithFiles(string folder, Func<Dictionary<string, List<StoredTensor>>, List<string>> read)
    {
        List<SafetensorsFile> files = [];
        try
        {
            foreach (
                var path in Directory.EnumerateFiles(folder, "optimizer-*.safetensors").Order(StringComparer.Ordinal)
            )
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
        foreach (var tensor in stored.GetValueOrDefault(parameter.Name) ?? [])
        {
            var (_, start, itsKind) = PartsOf(tensor.Name);
            var from = Math.Max(start, first);
            var to = Math.Min(start + tensor.Shape[0], first + target.numel());
            if (itsKind == kind && from < to)
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

    private static Tensor TensorOf(FlatShard shard, int kind) =>
        kind switch
        {
            0 => shard.Master,
            1 => shard.FirstMoment,
            _ => shard.SecondMoment,
        };

    private static string NameOf(int rank, int worldSize) =>
        string.Create(CultureInfo.InvariantCulture, $"optimizer-{rank:00000}-of-{worldSize:00000}.safetensors");
}
