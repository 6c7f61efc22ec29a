using GlmTune.Checkpoints;
using GlmTune.Kernels;
using GlmTune.Recipes.Training;
using GlmTune.Training;

namespace GlmTune.Recipes.Tests;

/// <summary>Steps whose numbers are not finite, or spikes: one row of the data, which is longer than the others, upsets
/// the layer that it enters.</summary>
public sealed class SentinelTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4, lora_dropout: 0.1 }";
    private const int Rows = 16;
    private const int BadLine = 6;
    private const int LongRow = 20; // tokens; the others have fewer

    private readonly TinyRun tiny = new();
    private string below = "";

    public SentinelTests() => WriteRows(BadLine);

    public void Dispose() => tiny.Dispose();

    [Theory]
    [InlineData(1, null, Lora), InlineData(2, null, Lora), InlineData(2, 3, Lora)]
    [InlineData(1, null, null), InlineData(2, 1, null), InlineData(2, 2, null), InlineData(2, 3, null)]
    public void By_default_a_run_stops_and_names_step_rows_rank_and_layer(int ranks, int? stage, string? kind)
    {
        List<long> reached = [];
        var error = Assert.ThrowsAny<Exception>(() =>
            Train(Recipe("run", stage, kind, "training_args.save_steps=1"), ranks, Nan, stepped: reached.Add)
        );
        var bad = reached.Count + 1;
        Assert.Contains(
            $"Step {bad}: the loss is NaN. No weight was changed.",
            error.Message,
            StringComparison.Ordinal
        );
        Assert.Contains($"It began in {below}, forward pass", error.Message, StringComparison.Ordinal);
        Assert.Contains($", with lines {BadLine} of train.jsonl. Rows", error.Message, StringComparison.Ordinal);
        Assert.Equal(ranks > 1, error.Message.Contains("forward pass on rank", StringComparison.Ordinal));
        Assert.Equal(Enumerable.Range(1, bad - 1).Select(step => (long)step), CheckpointFolder.Steps(tiny.At("run")));
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_gradient_that_is_not_finite_is_traced_to_its_layer(int ranks)
    {
        var error = Assert.ThrowsAny<Exception>(() =>
            Train(Recipe("run", null, Lora), ranks, new Upset(double.PositiveInfinity, InBackward: true))
        );
        Assert.Contains("the gradient norm is NaN. No weight was changed.", error.Message, StringComparison.Ordinal);
        Assert.Contains("backward pass", error.Message, StringComparison.Ordinal);
        Assert.Contains($", with lines {BadLine} of train.jsonl.", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ranks_that_share_a_row_find_it_together()
    {
        var error = Assert.ThrowsAny<Exception>(() =>
            Train(Recipe("run", 3, null, "training_args.sequence_parallel_size=2"), 2, Nan)
        );
        Assert.Contains($"It began in {below}, forward pass", error.Message, StringComparison.Ordinal);
        Assert.Contains($"with lines {BadLine} of train.jsonl", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, null, Lora, 1), InlineData(1, null, Lora, 2), InlineData(2, null, Lora, 2)]
    [InlineData(1, null, "training_args.max_grad_norm=0", 1), InlineData(2, 1, null, 2)]
    [
        InlineData(2, 2, null, 1),
        InlineData(2, 3, null, 2),
        InlineData(1, null, "training_args.offload_optimizer=true", 1)
    ]
    public void A_skipped_step_is_counted_and_a_resumed_run_equals_an_uninterrupted_one(
        int ranks,
        int? stage,
        string? kind,
        int accumulation
    )
    {
        string[] settings =
        [
            "training_args.nonfinite_policy=skip",
            "training_args.save_steps=1",
            $"training_args.gradient_accumulation_steps={accumulation}",
        ];
        var whole = Train(Recipe("whole", stage, kind, settings), ranks, Nan);
        var note = Assert.Single(whole.Notes, text => text.Contains("The step is skipped", StringComparison.Ordinal));
        Assert.Contains("(nonfinite_policy: skip); 1 so far.", note, StringComparison.Ordinal);
        Assert.Single(whole.Losses, double.IsNaN);
        AssertResumes(whole, settings, ranks, stage, kind);
    }

    [Theory]
    [InlineData(1, null, Lora), InlineData(2, null, Lora), InlineData(2, 3, Lora)]
    [InlineData(1, null, null), InlineData(2, 1, null), InlineData(2, 3, null)]
    public void A_rewind_leaves_the_row_out_and_a_resumed_run_does_so_too(int ranks, int? stage, string? kind)
    {
        string[] settings = ["training_args.nonfinite_policy=rewind", "training_args.save_steps=1"];
        var whole = Train(Recipe("whole", stage, kind, settings), ranks, Nan);
        var note = Assert.Single(whole.Notes, text => text.Contains("The run goes back", StringComparison.Ordinal));
        Assert.Contains($"leaves out lines {BadLine} of train.jsonl", note, StringComparison.Ordinal);
        Assert.All(whole.Losses, loss => Assert.True(double.IsFinite(loss)));
        var last = TrainingState.Read(tiny.Checkpoint("whole", (int)whole.Results[0].Steps))!;
        Assert.Equal([BadLine - 1], last.LeftOut);
        Assert.Equal(1, last.Rewinds);
        AssertResumes(whole, settings, ranks, stage, kind);
    }

    [Theory, InlineData("skip"), InlineData("rewind")]
    public void A_spike_is_left_out_and_a_resumed_run_decides_alike(string policy)
    {
        var upset = new Upset(1e4, InBackward: true);
        string[] settings =
        [
            "training_args.spike_factor=20",
            "training_args.spike_window=4",
            $"training_args.spike_policy={policy}",
            "training_args.save_steps=1",
            "training_args.num_train_epochs=2",
        ];
        var whole = Train(Recipe("whole", null, Lora, settings), 1, upset);
        Assert.Contains(
            whole.Notes,
            text =>
                text.Contains("times the median of the steps before", StringComparison.Ordinal)
                && text.Contains("The largest gradient is that of ", StringComparison.Ordinal)
                && text.Contains($"(spike_policy: {policy}", StringComparison.Ordinal)
        );
        AssertResumes(whole, settings, 1, null, Lora, upset);
    }

    [Fact]
    public void A_run_goes_back_only_so_often()
    {
        WriteRows(BadLine, 2, 9);
        var error = Assert.Throws<RejectedStepException>(() =>
            Train(
                Recipe(
                    "run",
                    null,
                    Lora,
                    "training_args.nonfinite_policy=rewind",
                    "training_args.max_rewinds=1",
                    "training_args.save_steps=1",
                    "training_args.per_device_train_batch_size=1"
                ),
                1,
                Nan
            )
        );
        Assert.Contains(
            "The run has gone back as often as it may (nonfinite_policy: rewind, max_rewinds: 1).",
            error.Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Without_a_checkpoint_there_is_nothing_to_go_back_to()
    {
        var error = Assert.Throws<RejectedStepException>(() =>
            Train(Recipe("run", null, Lora, "training_args.nonfinite_policy=rewind"), 1, Nan)
        );
        Assert.Contains("There is no checkpoint to go back to", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_run_that_skips_step_after_step_ends()
    {
        WriteRows([.. Enumerable.Range(1, Rows)]);
        var error = Assert.Throws<RejectedStepException>(() =>
            Train(
                Recipe(
                    "run",
                    null,
                    Lora,
                    "training_args.nonfinite_policy=skip",
                    "training_args.per_device_train_batch_size=1"
                ),
                1,
                Nan
            )
        );
        Assert.Contains("The 10 steps before were skipped too", error.Message, StringComparison.Ordinal);
    }

    private static Upset Nan { get; } = new(double.NaN, InBackward: false);

    // Stopped and resumed at each step; every checkpoint has the bytes of the uninterrupted run.
    private void AssertResumes(
        RunReport whole,
        string[] settings,
        int ranks,
        int? stage,
        string? kind,
        Upset? upset = null
    )
    {
        var steps = (int)whole.Results[0].Steps;
        var recipe = Recipe("parts", stage, kind, settings);
        while (!CheckpointFolder.Steps(tiny.At("parts")).Contains(steps))
        {
            using var source = new CancellationTokenSource();
            var made = 0;
            var resume = CheckpointFolder.Steps(tiny.At("parts")).Count > 0 ? "yes" : null;
            Train(
                recipe,
                ranks,
                upset ?? Nan,
                stepped: _ =>
                {
                    if (++made == 3)
                    {
                        source.Cancel();
                    }
                },
                stop: _ => source.Token,
                resume: resume
            );
        }

        foreach (var file in Directory.EnumerateFiles(tiny.Checkpoint("whole", steps)))
        {
            var name = Path.GetFileName(file);
            if (name != "manifest.json") // has the id of the run
            {
                Assert.True(
                    File.ReadAllBytes(file)
                        .AsSpan()
                        .SequenceEqual(File.ReadAllBytes(tiny.Checkpoint("parts", steps, name))),
                    $"{name} differs"
                );
            }
        }
    }

    private RunReport Train(
        Recipe recipe,
        int ranks,
        Upset upset,
        Action<long>? stepped = null,
        Func<int, CancellationToken>? stop = null,
        string? resume = null
    ) =>
        tiny.Train(
            recipe,
            ranks,
            resume,
            stepped: (_, report) => stepped?.Invoke(report.Step),
            stop: stop,
            data: tiny.At("rows"),
            conditions: new RunConditions(Prepared: trainer =>
            {
                below = trainer.Runner.Model.Layers[0].Name;
                trainer.Runner.Disturb = (pass, layer, inBackward, x) =>
                {
                    if (layer == 1 && inBackward == upset.InBackward)
                    {
                        Multiply(pass, x, upset.Factor);
                    }
                };
            })
        );

    private static void Multiply(TrainingPass pass, TorchSharp.torch.Tensor x, double factor)
    {
        var starts = pass.Sequences.Starts;
        var first = pass.Run?.Start.Value ?? 0;
        for (var row = 0; row + 1 < starts.Count; row++)
        {
            var (from, to) = (Math.Max(0, starts[row] - first), Math.Min((int)x.shape[0], starts[row + 1] - first));
            if (starts[row + 1] - starts[row] > LongRow && from < to)
            {
                using var part = x.narrow(0, from, to - from);
                part.MultiplyInPlace(factor);
            }
        }
    }

    private Recipe Recipe(string name, int? stage, string? kind, params string[] settings) =>
        tiny.Recipe(
            name,
            stage,
            [
                .. kind is null ? [] : (string[])[kind],
                "training_args.max_steps=-1",
                "training_args.num_train_epochs=1",
                "training_args.lr_scheduler_type=constant",
                .. settings,
            ]
        );

    private void WriteRows(params int[] longer)
    {
        Directory.CreateDirectory(tiny.At("rows"));
        File.WriteAllLines(
            tiny.At("rows", "train.jsonl"),
            Enumerable
                .Range(1, Rows)
                .Select(line =>
                {
                    var answer = longer.Contains(line) ? string.Concat(Enumerable.Repeat("裙子好看", 9)) : "好看";
                    return $$"""{"messages": [{"role": "user", "content": "裙{{line}}"}, """
                        + $$"""{"role": "assistant", "content": "{{answer}}"}]}""";
                })
        );
    }

    private sealed record Upset(double Factor, bool InBackward);
}
