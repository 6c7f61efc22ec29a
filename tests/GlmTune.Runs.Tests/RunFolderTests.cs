using System.Text.Json.Nodes;

namespace GlmTune.Runs.Tests;

/// <summary>Runs as the training page finds them: by their output folders, whoever wrote them.</summary>
public sealed class RunFolderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    [Fact]
    public void Runs_are_found_below_a_folder_and_their_checkpoints_are_not_runs()
    {
        Log("lora");
        Log("sweep", "a");
        WriteState("sweep", "python", "checkpoint-20");
        Directory.CreateDirectory(folder.At("empty", "checkpoint-3"));
        Assert.Equal(["lora", "sweep/a", "sweep/python"], RunFolder.Find(folder.Path).Select(run => run.Name));
        Assert.Empty(RunFolder.Find(folder.At("nothing")));
    }

    [Fact]
    public void A_folder_that_is_a_run_is_found_by_its_own_name_with_the_same_id()
    {
        Log("lora");
        var alone = Assert.Single(RunFolder.Find(folder.At("lora")));
        Assert.Equal("lora", alone.Name);
        Assert.Equal(Assert.Single(RunFolder.Find(folder.Path)).Id, alone.Id);
        Assert.Matches("^[0-9a-f]{12}$", alone.Id);
    }

    [Fact]
    public void The_standing_follows_the_log()
    {
        using var log = RunLog.Open(folder.At("run"), 0, 3);
        var run = Assert.Single(RunFolder.Find(folder.Path));
        log.Step(1, [KeyValuePair.Create("loss", 3.0)]);
        Assert.Equal(
            (RunState.Running, 1, 3, 3.0),
            (run.ReadStatus().State, run.ReadStatus().Step, run.ReadStatus().TotalSteps, run.ReadStatus().Loss)
        );
        log.Step(2, [KeyValuePair.Create("loss", 2.0)]);
        log.Evaluation(2, [KeyValuePair.Create("eval_loss", 2.5)]);
        Assert.Equal((2.0, 2.5), (run.ReadStatus().Loss, run.ReadStatus().EvaluationLoss));
        log.End(RunState.Stopped);
        Assert.Equal(RunState.Stopped, run.ReadStatus().State);
    }

    [Fact]
    public void A_run_whose_process_is_gone_without_a_word_is_lost()
    {
        Directory.CreateDirectory(folder.At("run"));
        File.WriteAllText(
            folder.At("run", RunLog.FileName),
            $$"""{"event":"start","time":"{{DateTimeOffset.UtcNow:O}}","step":0,"total_steps":5,"host":"{{Environment.MachineName}}","process":{{int.MaxValue}}}"""
                + "\n"
        );
        Assert.Equal(RunState.Lost, Assert.Single(RunFolder.Find(folder.Path)).ReadStatus().State);
    }

    [Theory]
    [InlineData(RunState.Running, "running"), InlineData(RunState.Finished, "finished")]
    [InlineData(RunState.Stopped, "stopped"), InlineData(RunState.Failed, "failed"), InlineData(RunState.Lost, "lost")]
    internal void A_state_has_one_word_in_files(RunState state, string word)
    {
        Assert.Equal(word, state.Word());
        Assert.Equal(state, RunStateWords.Parse(word));
    }

    [Fact]
    public void The_newest_state_of_a_trainer_of_pythons_is_read_as_a_log()
    {
        WriteState("python", "checkpoint-10");
        WriteState(
            "python",
            "checkpoint-20",
            extra: """, {"step": 20, "epoch": 2, "train_runtime": 11.5, "train_loss": 2.2}"""
        );
        File.WriteAllText(
            folder.At("python", "checkpoint-20", "adapter_config.json"),
            """{"peft_type": "LORA", "r": 8}"""
        );
        var run = Assert.Single(RunFolder.Find(folder.Path));
        var standing = run.ReadStatus();
        Assert.Equal(
            (RunState.Finished, 20, 20, 1.25, 1.5),
            (standing.State, standing.Step, standing.TotalSteps, standing.Loss, standing.EvaluationLoss)
        );
        Assert.Equal(8, (int)run.Describe()!["recipe"]!["adapter"]!["r"]!);
        // though a loss beside it is NaN
        Assert.Equal(4, (int)run.Describe()!["recipe"]!["training"]!["train_batch_size"]!);
        var part = run.ReadLog(0);
        Assert.Equal(
            ["start", "step", "step", "evaluation", "end"],
            part.Lines.Select(line => line.GetProperty("event").GetString())
        );
        Assert.Empty(run.ReadLog(part.Next).Lines);
    }

    [Fact]
    public void Numbers_that_are_not_finite_are_no_points()
    {
        Directory.CreateDirectory(folder.At("run"));
        File.WriteAllText(
            folder.At("run", RunLog.FileName),
            """
            {"event":"start","time":"2026-01-02T03:04:05.000Z","step":0,"total_steps":2}
            {"event":"step","time":"2026-01-02T03:04:06.000Z","step":1,"loss":1e999,"grad_norm":2.5}
            {"event":"evaluation","time":"2026-01-02T03:04:07.000Z","step":1,"eval_loss":-1e999}

            """
        );
        var standing = Assert.Single(RunFolder.Find(folder.Path)).ReadStatus();
        Assert.Equal((1, (double?)null, (double?)null), (standing.Step, standing.Loss, standing.EvaluationLoss));
    }

    [Fact]
    public void What_a_run_is_goes_to_a_file_and_back()
    {
        var description = new RunDescription
        {
            Started = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero),
            Model = "THUDM/glm-4-9b-chat",
            Data = "data/ads",
            TotalSteps = 9,
            Recipe = new JsonObject { ["optimizer"] = new JsonObject { ["learning_rate"] = 1e-3 } },
        };
        description.Write(folder.Path);
        var read = RunDescription.ReadOrNull(folder.Path)!;
        Assert.Equal(
            (description.Started, description.Model, description.TotalSteps),
            (read.Started, read.Model, read.TotalSteps)
        );
        Assert.Equal(1e-3, (double)read.Recipe["optimizer"]!["learning_rate"]!);
        File.WriteAllText(folder.At(RunDescription.FileName), "{");
        Assert.Null(RunDescription.ReadOrNull(folder.Path));
    }

    [Fact]
    public void Plots_are_drawn_of_what_was_measured()
    {
        Log("run");
        var history = new RunHistory();
        foreach (var line in RunLogReader.Read(folder.At("run", RunLog.FileName), 0).Lines)
        {
            history.Add(line);
        }

        var files = RunPlots.Write(folder.At("run"), history);
        Assert.Equal(["loss.png", "gradient_norm.png"], files.Select(file => Path.GetFileName(file)));
        Assert.All(files, file => Assert.Equal([0x89, (byte)'P', (byte)'N', (byte)'G'], File.ReadAllBytes(file)[..4]));
    }

    [Fact]
    public void A_curve_of_a_bounded_history_keeps_its_newest_points_and_names_are_bounded()
    {
        var history = new RunHistory(maxPoints: 8);
        for (var step = 1; step <= 100; step++)
        {
            history.Add(
                System.Text.Json.JsonSerializer.SerializeToElement(
                    new JsonObject
                    {
                        ["event"] = "step",
                        ["step"] = step,
                        ["loss"] = step * 2,
                    }
                )
            );
        }

        Assert.InRange(history.Curves["loss"].Count, 4, 8);
        Assert.Equal(200, history.Last("loss"));
        var many = new JsonObject { ["event"] = "step", ["step"] = 1 };
        for (var name = 0; name < 3000; name++)
        {
            many[$"x{name}"] = 1;
        }

        history.Add(System.Text.Json.JsonSerializer.SerializeToElement(many));
        Assert.Equal(1000, history.Curves.Count);
        Assert.Equal(200, history.Last("loss"));
    }

    public void Dispose() => folder.Dispose();

    private void Log(params string[] names)
    {
        using var log = RunLog.Open(folder.At(names), 0, 3);
        for (var step = 1; step <= 3; step++)
        {
            log.Step(step, [KeyValuePair.Create("loss", 3.0 / step), KeyValuePair.Create("grad_norm", 1.0 + step)]);
        }

        log.Evaluation(3, [KeyValuePair.Create("eval_loss", 1.5)]);
        log.End(RunState.Finished);
    }

    private void WriteState(params string[] names) => WriteState(names, "");

    private void WriteState(string run, string checkpoint, string extra) => WriteState([run, checkpoint], extra);

    private void WriteState(string[] names, string extra)
    {
        Directory.CreateDirectory(folder.At(names));
        File.WriteAllText(
            folder.At([.. names, "trainer_state.json"]),
            $$"""
            {"global_step": 20, "max_steps": 20, "epoch": 2.0, "train_batch_size": 4, "log_history": [
              {"step": 10, "epoch": 1, "loss": 2.5, "grad_norm": NaN, "learning_rate": 5e-5},
              {"step": 20, "epoch": 2, "loss": 1.25, "grad_norm": 0.5, "learning_rate": 0.0},
              {"step": 20, "epoch": 2, "eval_loss": 1.5, "eval_rouge-1": 30.5}{{extra}}]}
            """
        );
    }
}
