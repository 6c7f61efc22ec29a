using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using GlmTune.Runs;

namespace GlmTune;

public sealed partial class TrainTests
{
    [Theory]
    [InlineData("peft_type: LORA\n  r: 4\n  lora_alpha: 8", "adapter_model.safetensors")]
    [InlineData(null, "model.safetensors")]
    public async Task A_run_lowers_the_loss_and_one_that_was_resumed_has_the_same_bytes(string? adapter, string weights)
    {
        using var whole = Workspace.With("max_steps: 8\nsave_steps: 4\neval_strategy: steps\neval_steps: 8", adapter);
        using var parts = Workspace.With("max_steps: 8\nsave_steps: 4\neval_strategy: steps\neval_steps: 8", adapter);
        var model = await Workspace.RandomModel;
        var run = await ProgramRun.Done("train", whole.Folder, model, whole.Recipe);
        var losses = Losses(run);
        Assert.Equal(8, losses.Length);
        Assert.True(losses[^1] < losses[0] - 0.05, string.Join(" ", losses));
        Assert.Contains(run.Lines, line => line.StartsWith("step 8/8  eval_loss ", StringComparison.Ordinal));

        await ProgramRun.Done("train", parts.Folder, model, parts.Recipe);
        Directory.Delete(Path.Combine(parts.Output, "checkpoint-8"), recursive: true);
        var resumed = await ProgramRun.Done("train", parts.Folder, model, parts.Recipe, "yes");
        Assert.Equal(losses[4..], Losses(resumed));
        Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole.Output, "checkpoint-8", weights)),
            File.ReadAllBytes(Path.Combine(parts.Output, "checkpoint-8", weights))
        );
        Assert.Equal(LoggedLosses(whole.Output), LoggedLosses(parts.Output));
        Assert.True(File.Exists(Path.Combine(parts.Output, "plots", "loss.png")));
        Assert.Equal(
            2,
            Directory
                .GetFiles(Path.Combine(parts.Output, "runs"), "events.out.tfevents.*", SearchOption.AllDirectories)
                .Length
        );
    }

    // As the training page shows them: a resumed run's log takes back the steps that it does again.
    private static List<RunPoint> LoggedLosses(string output)
    {
        var history = new RunHistory();
        foreach (var line in RunLogReader.Read(Path.Combine(output, RunLog.FileName), 0).Lines)
        {
            history.Add(line);
        }

        Assert.Equal(RunState.Finished, history.End);
        return history.Curves["loss"];
    }

    [Fact]
    public async Task The_readmes_first_command_learns_and_what_it_saves_answers()
    {
        using var workspace = Workspace.With("");
        string In(string path) => Path.GetFullPath(GoldenData.Path($"../../{path}"));
        var run = await ProgramRun.Done(
            "train",
            In("data/ads"),
            In("models/glm-nano"),
            In("configs/lora-nano.yaml"),
            "--set",
            $"training_args.output_dir={workspace.Output}",
            "--set",
            "training_args.use_cpu=true",
            "--set",
            "training_args.max_steps=16",
            "--set",
            "training_args.logging_steps=2",
            "--set",
            "training_args.eval_strategy=no",
            "--set",
            "data_config.test_file=null"
        );
        var losses = Losses(run);
        Assert.True(losses[^1] < losses[0] - 0.1, string.Join(" ", losses));
        string[] ask =
        [
            "--prompt",
            "类型#裙*材质#棉*颜色#白色",
            "--temperature",
            "0",
            "--max-new-tokens",
            "40",
            "--device",
            "cpu",
        ];
        var before = await ProgramRun.Done(["chat", In("models/glm-nano"), .. ask]);
        var after = await ProgramRun.Done(["chat", Path.Combine(workspace.Output, "checkpoint-16"), .. ask]);
        Assert.NotEmpty(after.Output.Trim());
        Assert.NotEqual(before.Output, after.Output);
    }

    [Fact]
    public async Task Being_asked_to_stop_saves_a_checkpoint_that_training_goes_on_from()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Sends a signal.");
        using var workspace = Workspace.With("max_steps: 100000\nsave_steps: 100000\nlr_scheduler_type: constant");
        var asked = false;
        var run = await ProgramRun.Of(
            "",
            (process, line) =>
            {
                if (!asked && line.StartsWith("step 3/", StringComparison.Ordinal))
                {
                    asked = true;
                    using var kill = Process.Start(
                        "kill",
                        ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]
                    );
                    kill!.WaitForExit();
                }
            },
            "train",
            workspace.Folder,
            await Workspace.RandomModel,
            workspace.Recipe
        );
        Assert.Equal(130, run.Code);
        var checkpoint = Assert.Single(Directory.GetDirectories(workspace.Output, "checkpoint-*"));
        Assert.True(File.Exists(Path.Combine(checkpoint, "adapter_model.safetensors")));
        var steps = int.Parse(Path.GetFileName(checkpoint)["checkpoint-".Length..], CultureInfo.InvariantCulture);
        var further = await ProgramRun.Done(
            "train",
            workspace.Folder,
            await Workspace.RandomModel,
            workspace.Recipe,
            "yes",
            "--set",
            $"training_args.max_steps={steps + 2}"
        );
        Assert.Equal(2, Losses(further).Length);
    }

    [Fact]
    public async Task Everything_that_is_wrong_with_a_recipe_is_said_before_anything_is_trained()
    {
        using var workspace = Workspace.With("max_steps: many\nlearning_rat: 1");
        var run = await ProgramRun.Of("train", workspace.Folder, await Workspace.RandomModel, workspace.Recipe);
        Assert.Equal(2, run.Code);
        Assert.Contains("max_steps", run.Error, StringComparison.Ordinal);
        Assert.Contains("did you mean 'learning_rate'?", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(workspace.Output));
    }

    [Fact]
    public async Task A_loss_that_is_not_finite_is_the_users_problem_and_names_the_rows()
    {
        using var workspace = Workspace.With("max_steps: 5\nmax_grad_norm: 0\nsave_strategy: 'no'", adapter: null);
        var run = await ProgramRun.Of(
            "train",
            workspace.Folder,
            await Workspace.RandomModel,
            workspace.Recipe,
            "--set",
            "training_args.learning_rate=1e30"
        );
        Assert.Equal(2, run.Code);
        Assert.Matches("Step [2-5]: the (loss|gradient norm) is", run.Error);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }

    private static double[] Losses(ProgramRun run) =>
        [
            .. Step()
                .Matches(run.Output)
                .Select(match => double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture)),
        ];

    [GeneratedRegex(
        @"^step \d+/\d+  loss ([0-9.]+)  grad_norm [0-9.]+  learning_rate [0-9.e+-]+  epoch [0-9.]+",
        RegexOptions.Multiline
    )]
    private static partial Regex Step();
}
