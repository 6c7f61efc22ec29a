using GlmTune.Checkpoints;

namespace GlmTune.Recipes.Tests;

/// <summary>Checkpoints that cannot be written: a file with the name of the checkpoint stands in for a disk that
/// fails.</summary>
public sealed class CheckpointRetryTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4 }";
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory, InlineData(1), InlineData(2)]
    public void A_run_pauses_until_the_checkpoint_can_be_written_and_loses_nothing(int ranks)
    {
        tiny.Train(Recipe("alone", 600), ranks);
        List<string> notes = [];
        var report = tiny.Train(
            Recipe("run", 600),
            ranks,
            stepped: (rank, step) => Block(rank, step.Step, 2),
            noted: text =>
            {
                notes.Add(text);
                if (text.Contains("Training pauses", StringComparison.Ordinal))
                {
                    File.Delete(tiny.At("run", "checkpoint-2"));
                }
            }
        );

        Assert.Equal([1, 2, 3, 4], CheckpointFolder.Steps(tiny.At("run")));
        Assert.Equal(
            [1L, 2, 3, 4],
            report.Saved.Select(path => CheckpointFolder.StepOf(Path.GetFileName(path))!.Value)
        );
        var pause = Assert.Single(notes, text => text.Contains("Training pauses", StringComparison.Ordinal));
        Assert.StartsWith("step 2 could not be saved: ", pause[pause.IndexOf("step", StringComparison.Ordinal)..]);
        Assert.Contains($"{tiny.At("run", "checkpoint-1")} is intact; yes resumes from it.", pause);
        Assert.Contains(notes, text => text.Contains("step 2 is saved after 2 attempts", StringComparison.Ordinal));
        Assert.Equal(
            File.ReadAllBytes(tiny.Checkpoint("alone", 4, "adapter_model.safetensors")),
            File.ReadAllBytes(tiny.Checkpoint("run", 4, "adapter_model.safetensors"))
        );
    }

    [Theory, InlineData(1), InlineData(2)]
    public void After_the_set_time_training_continues_to_the_next_save(int ranks)
    {
        var report = tiny.Train(Recipe("run", 0), ranks, stepped: (rank, step) => Block(rank, step.Step, 2));
        Assert.Equal([1, 3, 4], CheckpointFolder.Steps(tiny.At("run")));
        Assert.DoesNotContain(tiny.At("run", "checkpoint-2"), report.Saved);
        Assert.Contains(
            report.Notes,
            text => text.Contains("step 2 is not saved; training continues to the next save", StringComparison.Ordinal)
        );
    }

    [Theory, InlineData(1), InlineData(2)]
    public void Two_failed_saves_in_a_row_end_the_run_and_name_the_checkpoint_to_resume_from(int ranks)
    {
        var reached = 0L;
        var error = Assert.ThrowsAny<Exception>(() =>
            tiny.Train(
                Recipe("run", 0),
                ranks,
                stepped: (rank, step) =>
                {
                    reached = step.Step;
                    Block(rank, step.Step, 2);
                    Block(rank, step.Step, 3);
                }
            )
        );
        Assert.Contains("Step 3 is not saved: ", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{tiny.At("run", "checkpoint-1")} is intact", error.Message, StringComparison.Ordinal);
        Assert.Equal(3, reached);
        File.Delete(tiny.At("run", "checkpoint-2"));
        File.Delete(tiny.At("run", "checkpoint-3"));
        tiny.Train(Recipe("run", 0), ranks, resume: "yes");
        tiny.Train(Recipe("alone", 0), ranks);
        Assert.Equal(
            File.ReadAllBytes(tiny.Checkpoint("alone", 4, "adapter_model.safetensors")),
            File.ReadAllBytes(tiny.Checkpoint("run", 4, "adapter_model.safetensors"))
        );
    }

    [Fact]
    public void A_last_save_that_fails_is_never_reported_as_saved()
    {
        var error = Assert.Throws<IOException>(() =>
            tiny.Train(
                Recipe("run", 0, "training_args.save_steps=3"),
                stepped: (rank, step) => Block(rank, step.Step, 4)
            )
        );
        Assert.Contains("Step 4 is not saved: ", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{tiny.At("run", "checkpoint-3")} is intact", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("2,4,6", null, "6", null)]
    [InlineData("2,4,6", 4, "6", null)]
    [InlineData("2,4,6", 3, "6", 2L)]
    [InlineData("2,4,6", 3, "2,6", 4L)] // 2 is the best
    [InlineData("2", 1, "2", null)] // the only intact one stays
    [InlineData("", 1, "", null)]
    public void Room_is_made_only_by_what_the_limit_would_delete(string steps, int? limit, string keep, long? expected)
    {
        long[] Numbers(string text) =>
            [.. text.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(number => long.Parse(number, null))];
        foreach (var step in Numbers(steps))
        {
            Directory.CreateDirectory(tiny.At("room", $"checkpoint-{step}"));
        }

        Assert.Equal(expected, CheckpointFolder.FirstToPrune(tiny.At("room"), limit, Numbers(keep)));
    }

    private Recipe Recipe(string name, int seconds, params string[] settings) =>
        tiny.Recipe(
            name,
            null,
            [
                Lora,
                "training_args.save_async=false",
                "training_args.save_steps=1",
                $"training_args.save_retry_seconds={seconds}",
                .. settings,
            ]
        );

    private void Block(int rank, long step, int blocked)
    {
        if (rank == 0 && step == blocked)
        {
            File.WriteAllText(tiny.At("run", $"checkpoint-{step}"), "in the way");
        }
    }
}
