using System.Collections.Concurrent;
using GlmTune.Collectives;
using GlmTune.Recipes.Training;
using GlmTune.Testing.Disks;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>One rank of a run fails at one of its collectives, with everything that can be offloaded on the host. The
/// others end at once and name the place, and the run can be resumed to the bytes of an undisturbed one.</summary>
/// <remarks>By default a sample of the collectives; with GLMTUNE_DISK_FAULTS, every one of them.</remarks>
public sealed class RunRankFaultTests : IDisposable
{
    private const int Ranks = 2;
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory, InlineData(2), InlineData(3)]
    public void The_others_name_the_place_and_the_run_can_be_resumed(int stage)
    {
        tiny.Train(Recipe("alone", stage), Ranks);
        var random = new Random(DiskSeed.Value);
        var (count, _) = Attempt(stage, 0, int.MaxValue, inside: false);
        Assert.True(count > 30, $"{count} collectives");
        int[] places = DiskSeed.IsLong ? [.. Enumerable.Range(0, count)] : [random.Next(count), random.Next(count)];
        foreach (var at in places)
        {
            var (failing, inside) = (random.Next(Ranks), random.Next(2) == 0);
            var (_, where) = Attempt(stage, failing, at, inside);
            tiny.Train(Recipe("run", stage), Ranks, resume: "yes");
            foreach (var file in Directory.GetFiles(tiny.Checkpoint("alone", 3), "*.safetensors"))
            {
                Assert.True(
                    File.ReadAllBytes(file)
                        .AsSpan()
                        .SequenceEqual(File.ReadAllBytes(tiny.Checkpoint("run", 3, Path.GetFileName(file)))),
                    $"seed {DiskSeed.Value}, rank {failing}, collective {at} ({where}): {file} differs"
                );
            }
        }
    }

    private Recipe Recipe(string name, int stage) =>
        tiny.Recipe(
            name,
            null,
            "training_args.max_steps=3",
            "training_args.save_steps=1",
            "training_args.deepspeed={ zero_optimization: { stage: "
                + $"{stage}, offload_optimizer: {{ device: cpu }}"
                + (
                    stage == 3
                        ? ", offload_param: { device: cpu }, stage3_gather_16bit_weights_on_model_save: true"
                        : ""
                )
                + " } }"
        );

    // Returns the number of collectives of rank 0, and where the failing one was.
    private (int Count, string Where) Attempt(int stage, int failing, int at, bool inside)
    {
        if (Directory.Exists(tiny.At("run")))
        {
            Directory.Delete(tiny.At("run"), recursive: true);
        }

        var recipe = Recipe("run", stage);
        var report = new RunReport();
        var made = new FaultyRanks[Ranks];
        var errors = new ConcurrentDictionary<int, Exception>();
        var error = Record.Exception(() =>
            InProcess.Run(
                Ranks,
                each =>
                {
                    made[each.Rank] = new FaultyRanks(each, each.Rank == failing ? at : int.MaxValue, inside);
                    try
                    {
                        FineTune.Run(
                            recipe,
                            TinyRun.Data,
                            tiny.Model,
                            null,
                            report.Of(each.Rank, null),
                            CancellationToken.None,
                            made[each.Rank]
                        );
                    }
                    catch (Exception failure)
                    {
                        errors[each.Rank] = failure;
                        throw;
                    }
                }
            )
        );
        var where = $"{made[failing].Last}";
        if (at == int.MaxValue)
        {
            Assert.Null(error);
            return (made[0].Count, where);
        }

        Assert.IsType<InjectedException>(error);
        foreach (var rank in Enumerable.Range(0, Ranks).Where(rank => rank != failing))
        {
            // The rank may have made all its calls.
            if (errors.TryGetValue(rank, out var other))
            {
                Assert.IsType<LostRankException>(other);
                Assert.StartsWith($"Rank {rank} of {Ranks}", other.Message, StringComparison.Ordinal);
                Assert.Contains($"because rank {failing} failed: injected", other.Message, StringComparison.Ordinal);
                var last = made[rank]
                    .Labels.Where(label => other.Message.Contains($"{label}:", StringComparison.Ordinal));
                Assert.True(made[rank].Labels.Count == 0 || last.Any(), other.Message);
            }
        }

        return (made[0].Count, where);
    }
}

/// <summary>An error of the test.</summary>
internal sealed class InjectedException() : Exception("injected");

/// <summary>Collectives of which one fails: before it is made, or after, before it is waited for.</summary>
internal sealed class FaultyRanks(ICollectives inner, int at, bool inside) : ICollectives
{
    public int Rank => inner.Rank;

    public int WorldSize => inner.WorldSize;

    public Device Device => inner.Device;

    public Traffic Traffic => inner.Traffic;

    public RankActivity Activity => inner.Activity;

    /// <summary>Number of calls so far.</summary>
    public int Count { get; private set; }

    /// <summary>The last call.</summary>
    public string Last { get; private set; } = "";

    /// <summary>The labels of all calls that had one.</summary>
    public HashSet<string> Labels { get; } = [];

    public Pending AllGather(Tensor shard, Tensor full, CallLabel label = default) =>
        Make("AllGather", label, () => inner.AllGather(shard, full, label));

    public Pending ReduceScatterSum(Tensor full, Tensor shard, CallLabel label = default) =>
        Make("ReduceScatterSum", label, () => inner.ReduceScatterSum(full, shard, label));

    public Pending AllReduceSum(Tensor buffer, CallLabel label = default) =>
        Make("AllReduceSum", label, () => inner.AllReduceSum(buffer, label));

    public Pending Broadcast(Tensor buffer, int root, CallLabel label = default) =>
        Make("Broadcast", label, () => inner.Broadcast(buffer, root, label));

    public Pending AllToAll(Tensor send, Tensor receive, CallLabel label = default, int? group = null) =>
        Make("AllToAll", label, () => inner.AllToAll(send, receive, label, group));

    public Pending RingShift(Tensor send, Tensor receive, CallLabel label = default) =>
        Make("RingShift", label, () => inner.RingShift(send, receive, label));

    public void Barrier(CallLabel label = default) =>
        Make(
            "Barrier",
            label,
            () =>
            {
                inner.Barrier(label);
                return Pending.Finished;
            }
        );

    public void Abort(Exception cause, int exitCode) => inner.Abort(cause, exitCode);

    public void Dispose() => inner.Dispose();

    private Pending Make(string name, CallLabel label, Func<Pending> make)
    {
        Last = $"{name} at {label}";
        if (label != default)
        {
            Labels.Add($"{label}");
        }

        var fails = Count++ == at;
        if (fails && !inside)
        {
            throw new InjectedException();
        }

        var pending = make();
        return fails ? throw new InjectedException() : pending;
    }
}
