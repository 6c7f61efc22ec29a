using GlmTune.Checkpoints;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Tests;

/// <summary>Checkpoints that are written behind training: the same bytes as those written at once, whatever training
/// does meanwhile.</summary>
public sealed class SaveAsyncTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4, lora_dropout: 0.1 }";
    private const string Prefix =
        "peft_config={ peft_type: PREFIX_TUNING, num_virtual_tokens: 4, prefix_projection: true }";

    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory]
    [InlineData(1, null, Lora)]
    [InlineData(1, null, Prefix)]
    [InlineData(1, null, "training_args.max_grad_norm=0")]
    [InlineData(1, null, "training_args.offload_optimizer=true")]
    [InlineData(1, null, "training_args.save_only_model=true")]
    [InlineData(
        1,
        null,
        "training_args.optimizer_state=bfloat16|training_args.master_weights=none|training_args.max_grad_norm=0"
    )]
    [InlineData(1, null, "training_args.optimizer_state=int8")]
    [InlineData(2, null, Lora)]
    [InlineData(2, 1, Lora)]
    [InlineData(2, 3, Lora)]
    [InlineData(2, 1, null)]
    [InlineData(2, 2, null)]
    [InlineData(2, 3, null)]
    public void A_checkpoint_held_back_for_two_steps_holds_the_state_of_its_own_step(
        int ranks,
        int? stage,
        string? kind
    )
    {
        string[] settings =
        [
            .. kind?.Split('|') ?? [],
            "training_args.max_steps=5",
            "training_args.save_steps=2",
            "training_args.dtype=bfloat16",
        ];
        tiny.Train(tiny.Recipe("at-once", stage, [.. settings, "training_args.save_async=false"]), ranks);
        using var released = new ManualResetEventSlim();
        var report = tiny.Train(
            tiny.Recipe("behind", stage, settings),
            ranks,
            stepped: (rank, step) =>
            {
                if (rank == 0 && step.Step == 4)
                {
                    Assert.Empty(CheckpointFolder.Steps(tiny.At("behind")));
                    released.Set();
                }
            },
            conditions: new RunConditions(step => released.Wait(TimeSpan.FromMinutes(1)))
        );
        Assert.Equal([2, 4, 5], StepsOf(report));
        foreach (var step in (int[])[2, 4, 5])
        {
            AssertSame(tiny.Checkpoint("at-once", step), tiny.Checkpoint("behind", step));
        }
    }

    [Theory, InlineData(1), InlineData(2)]
    public void One_checkpoint_is_written_at_a_time_and_reported_when_it_is_complete(int ranks)
    {
        var writing = 0;
        List<long> began = [];
        var report = tiny.Train(
            Recipe("run", "training_args.max_steps=6"),
            ranks,
            stepped: (rank, step) =>
            {
                // What was reported by now is there.
                Assert.All(
                    CheckpointFolder.Steps(tiny.At("run")),
                    each => Assert.True(File.Exists(tiny.Checkpoint("run", (int)each, "manifest.json")))
                );
            },
            conditions: new RunConditions(step =>
            {
                lock (began)
                {
                    began.Add(step);
                    writing = Math.Max(
                        writing,
                        began.Count(each => each != step && began.Count(other => other == each) < ranks)
                    );
                }
            })
        );
        Assert.Equal(0, writing);
        Assert.Equal([1, 2, 3, 4, 5, 6], StepsOf(report));
        Assert.Equal([.. Enumerable.Range(1, 5).SelectMany(step => Enumerable.Repeat((long)step, ranks))], began);
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_failed_write_pauses_training_and_the_copy_is_written_then(int ranks)
    {
        tiny.Train(Recipe("at-once", "training_args.save_async=false"), ranks);
        List<string> notes = [];
        var report = tiny.Train(
            Recipe("behind", "training_args.save_retry_seconds=600"),
            ranks,
            stepped: (rank, step) => Block(rank, step.Step, 2),
            noted: text =>
            {
                lock (notes)
                {
                    notes.Add(text);
                }

                if (text.Contains("Training pauses", StringComparison.Ordinal))
                {
                    File.Delete(tiny.At("behind", "checkpoint-2"));
                }
            }
        );
        Assert.Equal([1, 2, 3, 4], StepsOf(report));
        Assert.Contains(notes, text => text.Contains("step 2 could not be saved: ", StringComparison.Ordinal));
        Assert.Contains(notes, text => text.Contains("step 2 is saved after 2 attempts", StringComparison.Ordinal));
        for (var step = 1; step <= 4; step++)
        {
            AssertSame(tiny.Checkpoint("at-once", step), tiny.Checkpoint("behind", step));
        }
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_failed_write_is_never_reported_as_saved(int ranks)
    {
        var report = tiny.Train(
            Recipe("behind", "training_args.save_retry_seconds=0"),
            ranks,
            stepped: (rank, step) => Block(rank, step.Step, 2)
        );
        Assert.Equal([1, 3, 4], StepsOf(report));
        Assert.Contains(
            report.Notes,
            text => text.Contains("step 2 is not saved; training continues to the next save", StringComparison.Ordinal)
        );
        Assert.Empty(Directory.EnumerateDirectories(tiny.At("behind"), "tmp-glmtune*"));
    }

    [Theory, InlineData(1), InlineData(2)]
    public void Two_failed_writes_in_a_row_end_the_run(int ranks)
    {
        var error = Assert.ThrowsAny<Exception>(() =>
            tiny.Train(
                Recipe("behind", "training_args.save_retry_seconds=0"),
                ranks,
                stepped: (rank, step) =>
                {
                    Block(rank, step.Step, 2);
                    Block(rank, step.Step, 3);
                }
            )
        );
        Assert.Contains("Step 3 is not saved: ", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{tiny.At("behind", "checkpoint-1")} is intact", error.Message, StringComparison.Ordinal);
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_run_that_is_stopped_waits_for_the_checkpoint_and_saves_its_last_step(int ranks)
    {
        using var source = new CancellationTokenSource();
        using var released = new ManualResetEventSlim();
        var report = tiny.Train(
            Recipe("run", "training_args.save_steps=2", "training_args.max_steps=9"),
            ranks,
            stepped: (rank, step) =>
            {
                if (rank == 0 && step.Step == 3)
                {
                    source.Cancel();
                    released.Set();
                }
            },
            stop: _ => source.Token,
            conditions: new RunConditions(_ => released.Wait(TimeSpan.FromMinutes(1)))
        );
        Assert.True(report.Results[0].Stopped);
        Assert.Equal([2, 3], StepsOf(report));
        Assert.Equal(tiny.Checkpoint("run", 3), report.Results[0].Checkpoint);
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_run_that_dies_during_a_write_leaves_the_older_checkpoint_and_can_be_resumed(int ranks)
    {
        tiny.Train(Recipe("whole", "training_args.save_steps=2"), ranks);
        using var released = new ManualResetEventSlim();
        var error = Assert.Throws<InvalidOperationException>(() =>
            tiny.Train(
                Recipe("run", "training_args.save_steps=2"),
                ranks,
                stepped: (rank, step) =>
                {
                    if (step.Step == 3)
                    {
                        Assert.Empty(CheckpointFolder.Steps(tiny.At("run")));
                        released.Set();
                        throw new InvalidOperationException("the power went out");
                    }
                },
                conditions: new RunConditions(_ => released.Wait(TimeSpan.FromMinutes(1)))
            )
        );
        Assert.Equal("the power went out", error.Message);
        // A single rank needs nobody's consent to complete what it was writing.
        Assert.Equal(ranks == 1 ? [2L] : [], CheckpointFolder.Steps(tiny.At("run")));
        tiny.Train(Recipe("run", "training_args.save_steps=2"), ranks, resume: "yes");
        Assert.Empty(Directory.EnumerateDirectories(tiny.At("run"), "tmp-glmtune*"));
        AssertSame(tiny.Checkpoint("whole", 4), tiny.Checkpoint("run", 4));
    }

    [Theory, InlineData(1), InlineData(2)]
    public void Rotation_best_and_test_are_those_of_checkpoints_written_at_once(int ranks)
    {
        Directory.CreateDirectory(tiny.At("few"));
        foreach (var (file, rows) in (ReadOnlySpan<(string, int)>)[("train.jsonl", 12), ("dev.jsonl", 4)])
        {
            File.WriteAllLines(tiny.At("few", file), File.ReadLines(Path.Combine(TinyRun.Data, file)).Take(rows));
        }

        RunReport Run(string name, string way) =>
            tiny.Train(
                Recipe(
                    name,
                    "data_config={ train_file: train.jsonl, val_file: dev.jsonl, test_file: dev.jsonl }",
                    "training_args.eval_strategy=steps",
                    "training_args.save_total_limit=2",
                    "training_args.max_steps=6",
                    "training_args.load_best_model_at_end=true",
                    "training_args.learning_rate=0.3",
                    $"training_args.save_async={way}"
                ),
                ranks,
                data: tiny.At("few")
            );
        var (expected, found) = (Run("at-once", "false"), Run("behind", "true"));
        Assert.Equal(CheckpointFolder.Steps(tiny.At("at-once")), CheckpointFolder.Steps(tiny.At("behind")));
        Assert.Equal(expected.Test!["eval_loss"], found.Test!["eval_loss"]);
        Assert.Equal(expected.Losses, found.Losses);
    }

    [Theory, InlineData(1), InlineData(2)]
    public void Without_room_for_the_copy_checkpoints_are_written_at_once_and_a_note_says_so(int ranks)
    {
        var report = tiny.Train(
            Recipe("run"),
            ranks,
            conditions: new RunConditions(_ => Assert.Fail("written behind training"), AvailableMemory: 1000)
        );
        Assert.Equal([1, 2, 3, 4], StepsOf(report));
        var note = Assert.Single(report.Notes, text => text.Contains("save_async", StringComparison.Ordinal));
        Assert.StartsWith("training pauses while checkpoints are written: ", note, StringComparison.Ordinal);
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_resumed_run_has_the_bytes_of_one_that_was_not_interrupted(int ranks)
    {
        tiny.Train(Recipe("whole"), ranks);
        using var source = new CancellationTokenSource();
        tiny.Train(
            Recipe("parts"),
            ranks,
            stepped: (rank, step) =>
            {
                if (rank == 0 && step.Step == 2)
                {
                    source.Cancel();
                }
            },
            stop: _ => source.Token
        );
        Assert.DoesNotContain(4, CheckpointFolder.Steps(tiny.At("parts")));
        tiny.Train(Recipe("parts"), ranks, resume: "yes");
        AssertSame(tiny.Checkpoint("whole", 4), tiny.Checkpoint("parts", 4));
    }

    private Recipe Recipe(string name, params string[] settings) =>
        tiny.Recipe(name, null, [Lora, "training_args.save_steps=1", .. settings]);

    private static List<long> StepsOf(RunReport report) =>
        [.. report.Saved.Select(path => CheckpointFolder.StepOf(Path.GetFileName(path))!.Value)];

    private void Block(int rank, long step, int blocked)
    {
        if (rank == 0 && step == blocked)
        {
            File.WriteAllText(tiny.At("behind", $"checkpoint-{step}"), "in the way");
        }
    }

    private static void AssertSame(string expected, string found)
    {
        string[] Names(string folder) =>
            [.. Directory.EnumerateFiles(folder).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
        Assert.Equal(Names(expected), Names(found));
        Assert.All(
            // The manifest has the id of the run.
            Names(expected).Where(name => name != "manifest.json"),
            name =>
                Assert.True(
                    File.ReadAllBytes(Path.Combine(expected, name))
                        .AsSpan()
                        .SequenceEqual(File.ReadAllBytes(Path.Combine(found, name))),
                    $"{name} differs"
                )
        );
    }
}
