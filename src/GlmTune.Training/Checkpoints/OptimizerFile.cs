using System.Globalization;
using GlmTune.Model;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Training.Checkpoints;

/// <summary>Master values and AdamW's moments, each rank's slices in a file of its own; any other number of ranks can read them.</summary>
/// <remarks>A tensor's name is <c>parameter@first element:kind</c>, so a reader needs to know nothing of who wrote it.</remarks>
public static class OptimizerFile
{
    private static readonly string[] Kinds = ["master", "exp_avg", "exp_avg_sq"];

    /// <summary>Writes one rank's slices; what every rank has whole is written by rank 0 alone.</summary>
    /// <param name="folder">An existing folder, the same for all ranks.</param>
    /// <param name="shards">This rank's slices.</param>
    /// <param name="rank">This rank.</param>
    /// <param name="worldSize">Number of ranks that write.</param>
    public static void Write(string folder, IReadOnlyList<FlatShard> shards, int rank = 0, int worldSize = 1)
    {
        var pieces = shards.Where(shard => shard.WorldSize > 1 || rank == 0).SelectMany(shard => shard.Overlaps().SelectMany(part => Kinds.Select((kind, k) => (
            Name: string.Create(CultureInfo.InvariantCulture, $"{part.Parameter.Name}@{part.InParameter}:{kind}"),
            Shard: shard, Kind: k, part.InShard, part.Count)))).ToList();
        if (pieces.Count == 0 && rank > 0)
        {
            return;
        }
        using var writer = new SafetensorsWriter(
            Path.Combine(folder, NameOf(rank, worldSize)),
            [.. pieces.Select(piece => StoredTensors.Spec(piece.Name, piece.Shard.Type, piece.Count))]);
        foreach (var piece in pieces)
        {
            using var values = TensorOf(piece.Shard, piece.Kind).narrow(0, piece.InShard, piece.Count);
            StoredTensors.WithBytes(values, piece.Shard.Type, (address, bytes) => writer.Write(piece.Name, address, bytes));
        }
        writer.Complete();
    }

    /// <summary>Whether a checkpoint has this state.</summary>
    public static bool IsIn(string folder) => Directory.EnumerateFiles(folder, "optimizer-*.safetensors").Any();

    /// <summary>Reads the state that belongs to the given slices from the files of all ranks that wrote.</summary>
    /// <exception cref="InvalidDataException">Some of it is missing, or of other parameters; all problems at once.</exception>
    public static void Read(string folder, IReadOnlyList<FlatShard> shards)
    {
        var files = Directory.EnumerateFiles(folder, "optimizer-*.safetensors").Order(StringComparer.Ordinal).Select(SafetensorsFile.Open).ToList();
        try
        {
            var stored = files.SelectMany(file => file.Tensors).GroupBy(tensor => PartsOf(tensor.Name).Parameter).ToDictionary(group => group.Key, group => group.ToList());
            var problems = new List<string>();
            foreach (var shard in shards)
            {
                foreach (var part in shard.Overlaps())
                {
                    ReadPart(shard, part, stored.GetValueOrDefault(part.Parameter.Name) ?? [], problems);
                }
            }
            if (problems.Count > 0)
            {
                throw new InvalidDataException($"{folder}: the optimizer's state does not fit what is trained now ({problems.Count} problems):\n  {string.Join("\n  ", problems)}");
            }
            foreach (var shard in shards)
            {
                shard.CopyMasterToCompute();
            }
        }
        finally
        {
            files.ForEach(file => file.Dispose());
        }
    }

    private static void ReadPart(
        FlatShard shard, (Model.Layers.Parameter Parameter, long InShard, long InParameter, long Count) part, List<StoredTensor> stored, List<string> problems)
    {
        var found = 0L;
        foreach (var tensor in stored)
        {
            var (_, start, kind) = PartsOf(tensor.Name);
            var from = Math.Max(start, part.InParameter);
            var to = Math.Min(start + tensor.Shape[0], part.InParameter + part.Count);
            if (from >= to)
            {
                continue;
            }
            using var target = TensorOf(shard, kind).narrow(0, part.InShard + from - part.InParameter, to - from);
            StoredTensors.CopyTo(tensor, from - start, target);
            found += to - from;
        }
        if (found != part.Count * Kinds.Length)
        {
            problems.Add($"'{part.Parameter.Name}': {found} of {part.Count * Kinds.Length} numbers are there.");
        }
    }

    private static (string Parameter, long Start, int Kind) PartsOf(string name)
    {
        var (at, colon) = (name.LastIndexOf('@'), name.LastIndexOf(':'));
        var kind = colon < 0 ? -1 : Array.IndexOf(Kinds, name[(colon + 1)..]);
        return at > 0 && colon > at && kind >= 0 && long.TryParse(name.AsSpan(at + 1, colon - at - 1), CultureInfo.InvariantCulture, out var start)
            ? (name[..at], start, kind)
            : throw new InvalidDataException($"'{name}' is not a name that an optimizer's state has.");
    }

    private static Tensor TensorOf(FlatShard shard, int kind) => kind switch { 0 => shard.Master, 1 => shard.FirstMoment, _ => shard.SecondMoment };

    private static string NameOf(int rank, int worldSize) => string.Create(CultureInfo.InvariantCulture, $"optimizer-{rank:00000}-of-{worldSize:00000}.safetensors");
}
