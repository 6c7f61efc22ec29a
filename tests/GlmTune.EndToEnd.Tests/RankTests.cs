using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using GlmTune.Files;
using GlmTune.Weights;

namespace GlmTune;

/// <summary>Training by processes: under mpirun, and started by the program itself.</summary>
public sealed partial class RankTests : IDisposable
{
    private static readonly string[] Quick =
    [
        "--set",
        "training_args.eval_strategy=no",
        "--set",
        "data_config.test_file=null",
        "--set",
        "training_args.logging_steps=1",
        "--set",
        "training_args.use_cpu=true",
    ];
    private readonly string output = Directory.CreateTempSubdirectory("glmtune-ranks-").FullName;

    private static string Root => Path.GetFullPath(Path.Combine(GoldenData.Path("glm-tiny"), "..", "..", ".."));

    private string[] Sft =>
        [
            "train",
            In("data/ads"),
            In("models/glm-nano"),
            In("configs/sft-nano.yaml"),
            .. Quick,
            "--set",
            $"training_args.output_dir={output}",
            "--set",
            "training_args.per_device_train_batch_size=2",
        ];

    public void Dispose() => Directory.Delete(output, recursive: true);

    [Fact]
    public async Task Two_processes_with_the_shipped_zero_3_file_give_the_losses_of_one_and_what_they_save_answers()
    {
        string[] steps = ["--set", "training_args.max_steps=3", "--set", "training_args.save_steps=3"];
        var one = await ProgramRun.Done([
            .. Sft,
            .. steps,
            "--set",
            "training_args.gradient_accumulation_steps=2",
            "--set",
            "training_args.save_strategy='no'",
        ]);
        var two = await Mpirun([.. Sft, .. steps, "--set", $"training_args.deepspeed={In("configs/ds_zero_3.json")}"]);
        Assert.True(two.Code == 0, two.Error + two.Output);
        Assert.Contains("zero_optimization.stage3_prefetch_bucket_size: auto -> ", two.Error, StringComparison.Ordinal);
        Assert.Contains("× 2 ranks", two.Output, StringComparison.Ordinal);
        Assert.Equal(3, Losses(two).Length);
        Assert.All(Losses(one).Zip(Losses(two)), pair => Assert.Equal(pair.First, pair.Second, 2e-4));
        var checkpoint = Path.Combine(output, "checkpoint-3");
        FolderManifest.Verify(checkpoint);
        Assert.Equal(2, Directory.GetFiles(checkpoint, "optimizer-*-of-00002.safetensors").Length);
        await ProgramRun.Done("checkpoint", "consolidate", checkpoint, Path.Combine(output, "whole"));
        string[] ask =
        [
            "--prompt",
            "类型#裙*颜色#红色",
            "--temperature",
            "0",
            "--max-new-tokens",
            "8",
            "--device",
            "cpu",
        ];
        Assert.Equal(
            (await ProgramRun.Done(["chat", checkpoint, .. ask])).Output,
            (await ProgramRun.Done(["chat", Path.Combine(output, "whole"), .. ask])).Output
        );
    }

    [Fact]
    public async Task Two_processes_that_share_each_sequence_give_the_losses_of_one()
    {
        string[] steps = ["--set", "training_args.max_steps=3", "--set", "training_args.save_strategy='no'"];
        var one = await ProgramRun.Done([.. Sft, .. steps]);
        var two = await Mpirun([
            .. Sft,
            .. steps,
            "--set",
            "training_args.sequence_parallel_size=2",
            "--set",
            $"training_args.deepspeed={In("configs/ds_zero_3.json")}",
        ]);
        Assert.True(two.Code == 0, two.Error + two.Output);
        Assert.Equal(3, Losses(two).Length);
        Assert.All(Losses(one).Zip(Losses(two)), pair => Assert.Equal(pair.First, pair.Second, 2e-4));
    }

    [Fact]
    public async Task When_one_process_is_killed_all_end_and_another_number_of_ranks_goes_on_from_the_last_checkpoint()
    {
        string[] recipe =
        [
            .. Sft,
            "--set",
            "training_args.save_steps=2",
            "--set",
            $"training_args.deepspeed={In("configs/ds_zero_3.json")}",
            "--set",
            "training_args.lr_scheduler_type=constant",
        ];
        var clock = new Stopwatch();
        var run = await Mpirun(
            [.. recipe, "--set", "training_args.max_steps=300"],
            line =>
            {
                if (!clock.IsRunning && line.Contains("saved ", StringComparison.Ordinal))
                {
                    clock.Start();
                    Kill(RankProcess(1));
                }
            }
        );
        Assert.NotEqual(0, run.Code);
        Assert.InRange(clock.Elapsed.TotalSeconds, 0, 60);
        var newest = Directory
            .GetDirectories(output, "checkpoint-*")
            .Max(folder => int.Parse(folder.Split('-')[^1], CultureInfo.InvariantCulture));
        FolderManifest.Verify(Path.Combine(output, $"checkpoint-{newest}"));
        var further = await ProgramRun.Done([
            .. recipe[..4],
            "yes",
            .. recipe[4..],
            "--set",
            $"training_args.max_steps={newest + 1}",
        ]);
        Assert.Contains("was written by 2 ranks, and this run has 1", further.Error, StringComparison.Ordinal);
        Assert.Single(Losses(further));
    }

    [Fact]
    public async Task Ranks_that_the_program_starts_save_and_end_when_it_is_asked_to_stop()
    {
        SkipWithoutMpirun();
        var asked = false;
        var run = await ProgramRun.Of(
            "",
            (process, line) =>
            {
                if (!asked && line.Contains("step 2/", StringComparison.Ordinal))
                {
                    asked = true;
                    Signal("-TERM", process.Id);
                }
            },
            [
                "train",
                In("data/ads"),
                In("models/glm-nano"),
                In("configs/lora-nano.yaml"),
                "--nproc-per-node",
                "2",
                .. Quick,
                "--set",
                $"training_args.output_dir={output}",
                "--set",
                "training_args.max_steps=300",
            ]
        );
        Assert.True(run.Code == 130, $"{run.Code}: {run.Error}{run.Output}");
        Assert.Contains("stopped after ", run.Output, StringComparison.Ordinal);
        FolderManifest.Verify(Assert.Single(Directory.GetDirectories(output, "checkpoint-*")));
    }

    [Fact]
    public async Task What_is_wrong_is_said_once_and_the_code_tells_schedulers()
    {
        var run = await Mpirun([.. Sft, "--set", "training_args.deepspeed={ train_batch_size: 3 }"]);
        Assert.Equal(2, run.Code);
        Assert.Single(BatchProblem().Matches(run.Error));
        // each rank has a terminal, at which nobody types
        Assert.DoesNotContain("\u001b", run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }

    private static string In(string path) => Path.Combine(Root, path);

    private static void SkipWithoutMpirun() =>
        Assert.SkipUnless(
            (Environment.GetEnvironmentVariable("PATH") ?? "")
                .Split(Path.PathSeparator)
                .Any(folder => File.Exists(Path.Combine(folder, "mpirun"))),
            "mpirun is not installed (Debian: openmpi-bin)."
        );

    private static Task<ProgramRun> Mpirun(string[] arguments, Action<string>? onLine = null)
    {
        SkipWithoutMpirun();
        return ProgramRun.Under(
            ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2"],
            (_, line) => onLine?.Invoke(line),
            arguments
        );
    }

    // The process whose environment says that it is this rank of this test's run.
    private int RankProcess(int rank) =>
        Directory
            .EnumerateDirectories("/proc")
            .Select(Path.GetFileName)
            .Where(name => int.TryParse(name, out _))
            .Select(name => int.Parse(name!, CultureInfo.InvariantCulture))
            .Single(process =>
                Text(process, "cmdline").Contains(output, StringComparison.Ordinal)
                && Text(process, "environ").Split('\0').Contains($"OMPI_COMM_WORLD_RANK={rank}")
            );

    private static string Text(int process, string file)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/{file}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return "";
        }
    }

    private static void Kill(int process) => Signal("-KILL", process);

    private static void Signal(string signal, int process)
    {
        using var kill = Process.Start("kill", [signal, process.ToString(CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    private static double[] Losses(ProgramRun run) =>
        [
            .. Step()
                .Matches(run.Output)
                .Select(match => double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)),
        ];

    [GeneratedRegex(@"step \d+/\d+  loss ([0-9.]+)", RegexOptions.Multiline)]
    private static partial Regex Step();

    [GeneratedRegex("train_batch_size' is 3")]
    private static partial Regex BatchProblem();
}
