using GlmTune.Checkpoints;
using GlmTune.Collectives;
using GlmTune.Files;
using GlmTune.Testing.Disks;

namespace GlmTune.Recipes.Tests;

/// <summary>Single disk operations of a run go wrong: while it loads, logs, saves and deletes old checkpoints. Then it
/// is resumed, and must end with the bytes of a run that nothing disturbed.</summary>
/// <remarks>By default a sample of the operations; with GLMTUNE_DISK_FAULTS, every one of them.</remarks>
public sealed class RunDiskFaultTests : IDisposable
{
    private const int Steps = 3;
    private const string Lora = "peft_config={ peft_type: LORA, r: 4, lora_dropout: 0.1 }";

    private readonly MemoryFolder memory = new();
    private readonly TinyRun tiny;

    public RunDiskFaultTests()
    {
        tiny = new TinyRun(Directory.CreateDirectory(memory.At("tiny")).FullName);
        Directory.CreateDirectory(tiny.At("out"));
    }

    public void Dispose()
    {
        tiny.Dispose();
        memory.Dispose();
    }

    [Theory, InlineData(true, 1), InlineData(false, 1), InlineData(false, 2)]
    public void A_run_on_a_failing_disk_loses_nothing_that_it_reported_as_saved(bool adapter, int ranks)
    {
        string[] settings =
        [
            adapter ? Lora : "training_args.save_only_model=false",
            "training_args.save_steps=1",
            $"training_args.max_steps={Steps}",
            "training_args.save_retry_seconds=0",
            "training_args.report_to=tensorboard",
        ];
        tiny.Train(tiny.Recipe("alone", null, settings), ranks);
        var recipe = tiny.Recipe("out/run", null, [.. settings, "training_args.save_total_limit=2"]);
        var random = new Random(DiskSeed.Value);
        foreach (var fault in DiskFaults.All)
        {
            // Of the usual test, one operation of about a third of the run's.
            var count = DiskSeed.IsLong ? Attempt(recipe, ranks, fault, int.MaxValue).Count : 100;
            foreach (var n in DiskSeed.IsLong ? Enumerable.Range(0, count) : [random.Next(count)])
            {
                Attempt(recipe, ranks, fault, n);
            }

            Report($"run, {(adapter ? "adapter" : "all weights")}, {ranks} ranks, {fault}", count);
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void A_model_that_cannot_be_read_ends_the_run_with_the_name_of_the_file(bool adapter)
    {
        var recipe = tiny.Recipe(
            "out/run",
            null,
            adapter ? Lora : "training_args.save_only_model=false",
            "training_args.max_steps=1"
        );
        var random = new Random(DiskSeed.Value);
        foreach (var fault in (DiskFault[])[DiskFault.IoError, DiskFault.AccessDenied])
        {
            var count = Load(fault, int.MaxValue).Count;
            Assert.True(count > 5, $"{count} operations");
            foreach (var n in DiskSeed.IsLong ? Enumerable.Range(0, count) : [random.Next(count), random.Next(count)])
            {
                Load(fault, n);
            }

            Report($"load, {(adapter ? "adapter" : "all weights")}, {fault}", count);
        }

        FaultyDisk Load(DiskFault fault, int n)
        {
            Directory.Delete(tiny.At("out"), recursive: true);
            Directory.CreateDirectory(tiny.At("out"));
            var disk = new FaultyDisk(tiny.Model, fault, n);
            var error = disk.Try(() => tiny.Train(recipe));
            Assert.True(
                error is null or IOException or UnauthorizedAccessException or InvalidDataException,
                $"{error}"
            );
            Assert.True(
                error is null || error.Message.Contains(tiny.Model, StringComparison.Ordinal),
                Describe(disk, fault, n, error)
            );
            return disk;
        }
    }

    private static void Report(string what, int operations) =>
        TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {operations} operations, seed {DiskSeed.Value}");

    private static string Describe(FaultyDisk disk, DiskFault fault, int n, object? more) =>
        $"{fault}, operation {n} ({disk.Failed}), seed {DiskSeed.Value}: {more}";

    // A run with one fault, what it left, and the resumed run.
    private FaultyDisk Attempt(Recipe recipe, int ranks, DiskFault fault, int n)
    {
        if (Directory.Exists(tiny.At("out", "run")))
        {
            Directory.Delete(tiny.At("out", "run"), recursive: true);
        }

        var disk = new FaultyDisk(tiny.At("out"), fault, n, DiskSeed.Value + n);
        List<string> notes = [];
        List<string> saved = [];
        var report = (RunReport?)null;
        var error = disk.Try(() => report = tiny.Train(recipe, ranks, noted: notes.Add, saved: saved.Add));
        string About(object? more) => Describe(disk, fault, n, more);

        // An error is one of the disk, and names a file; a run without one has all its steps.
        Assert.True(error is ProcessEndedException == (fault.Ends() && disk.Failed is not null), About(error));
        if (error is not null and not ProcessEndedException)
        {
            Assert.True(
                error is IOException or UnauthorizedAccessException or InvalidDataException or SharedFailureException,
                About(error)
            );
            Assert.Contains(tiny.At("out"), error.Message, StringComparison.Ordinal);
        }

        Assert.True(
            error is not null || saved.Contains(tiny.Checkpoint("out/run", Steps).TrimEnd('/')),
            About("no end")
        );

        // What looks whole is whole, and what was reported last is still there.
        foreach (var step in CheckpointFolder.Steps(tiny.At("out", "run")))
        {
            var folder = tiny.Checkpoint("out/run", (int)step);
            if (CheckpointFolder.Compare(folder).Problems.Count == 0)
            {
                ExpectSame(step, About);
            }
        }

        if (saved.LastOrDefault() is { } last)
        {
            Assert.True(Directory.Exists(last), About($"{last} was reported as saved"));
            Assert.True(CheckpointFolder.Compare(last).Problems.Count == 0, About($"{last} was reported as saved"));
        }

        var resumed = Record.Exception(() => tiny.Train(recipe, ranks, resume: "yes"));
        Assert.True(resumed is null, About(resumed));
        ExpectSame(Steps, About);
        Assert.Empty(AtomicFolder.FindStale(tiny.At("out", "run")));
        return disk;
    }

    private void ExpectSame(long step, Func<object?, string> about)
    {
        var expected = Directory.GetFiles(tiny.Checkpoint("alone", (int)step), "*.safetensors");
        Assert.NotEmpty(expected);
        foreach (var file in expected)
        {
            var found = tiny.Checkpoint("out/run", (int)step, Path.GetFileName(file));
            Assert.True(
                File.Exists(found) && File.ReadAllBytes(file).AsSpan().SequenceEqual(File.ReadAllBytes(found)),
                about($"{found} differs")
            );
        }
    }
}
