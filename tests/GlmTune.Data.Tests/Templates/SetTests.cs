using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Templates;

public class SetTests
{
    private static readonly Glm4Template Short = new(
        TinyTokenizer.Create(),
        new TemplateOptions { MaxInputTokens = 12, MaxOutputTokens = 8 }
    );

    private static readonly string[] Rows =
    [
        Row("q", "a"),
        Row("q", new string('a', 50)), // cut, its end lost
        """{"messages": [{"role": "user", "content": "q"}]}""", // nothing to learn
        "",
        Row(new string('q', 50), "a"), // the cut takes the answer
        """{"messages": [{"role": "judge", "content": "q"}]}""",
        Row("p", "b"),
    ];

    [Fact]
    public void Bad_rows_and_rows_that_teach_nothing_stop_the_reading_together()
    {
        using var folder = new TemporaryFolder();
        var message = Assert
            .Throws<InvalidDataException>(() => TrainingSet.Read(Write(folder), Short))
            .Message.Split(Environment.NewLine);
        Assert.Equal(3, message.Length);
        Assert.StartsWith(
            "train.jsonl, line 3: no supervised tokens: the row has no assistant message",
            message[0],
            StringComparison.Ordinal
        );
        Assert.StartsWith(
            "train.jsonl, line 5: no supervised tokens: truncation at 21",
            message[1],
            StringComparison.Ordinal
        );
        Assert.StartsWith("train.jsonl, line 6, messages[0]: role 'judge'", message[2], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Skipped_rows_are_counted_and_the_others_know_their_line(int parallelism)
    {
        using var folder = new TemporaryFolder();
        var set = TrainingSet.Read(
            Write(folder),
            Short,
            new ExampleOptions { BadRows = BadRows.Skip, Parallelism = parallelism }
        );
        Assert.Equal([1, 2, 7], set.Select(example => example.Line));
        Assert.Equal((6, 3, 1, 1), (set.Report.Rows, set.Report.Skipped, set.Report.Cut, set.Report.LostTheirEnd));
        Assert.Equal((3, 3), (set.Report.Problems, set.Report.FirstProblem!.Line));
    }

    [Fact]
    public void Evaluation_leaves_out_and_counts_prompts_that_are_too_long()
    {
        using var folder = new TemporaryFolder();
        var set = EvaluationSet.Read(Write(folder), Short, new ExampleOptions { BadRows = BadRows.Skip });
        Assert.Equal([1, 2, 7], set.Select(example => example.Line));
        Assert.Equal((6, 2, 1, 1), (set.Report.Rows, set.Report.Skipped, set.Report.Cut, set.Report.PromptTooLong));
    }

    [Fact]
    public void A_limit_takes_the_first_rows()
    {
        using var folder = new TemporaryFolder();
        Assert.Equal(2, TrainingSet.Read(Write(folder), Short, new ExampleOptions { MaxRows = 2 }).Count);
    }

    [Fact]
    public void A_file_without_a_usable_row_stops_even_when_skipping()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains(
            "has no row",
            Assert
                .Throws<InvalidDataException>(() => TrainingSet.Read(folder.Write("a.jsonl", "\n \n"), Short))
                .Message,
            StringComparison.Ordinal
        );
        Assert.Throws<InvalidDataException>(() =>
            TrainingSet.Read(folder.Write("b.jsonl", "{}\n"), Short, new ExampleOptions { BadRows = BadRows.Skip })
        );
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Reading_can_be_stopped(int parallelism)
    {
        using var folder = new TemporaryFolder();
        Assert.ThrowsAny<OperationCanceledException>(() =>
            TrainingSet.Read(
                Write(folder),
                Short,
                new ExampleOptions { Parallelism = parallelism },
                stop: new CancellationToken(canceled: true)
            )
        );
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Ranks_share_an_evaluation_without_overlap_or_loss(int worldSize)
    {
        using var folder = new TemporaryFolder();
        var set = EvaluationSet.Read(
            folder.Write("a.jsonl", string.Join('\n', Enumerable.Range(0, 13).Select(i => Row($"{i}", "a")))),
            Short
        );
        var shares = Enumerable.Range(0, worldSize).Select(rank => set.Share(rank, worldSize).ToList()).ToList();
        Assert.Equal(
            Enumerable.Range(1, 13),
            shares.SelectMany(share => share).Select(example => example.Line).Order()
        );
        Assert.True(shares.Max(share => share.Count) - shares.Min(share => share.Count) <= 1);
    }

    [Theory] // README of the reference data: 1,070 rows, 57 to 222 tokens; tool files as counted there.
    [InlineData("advertisegen/dev.messages.jsonl", 1070, 0)]
    [InlineData("toolalpaca/glaive_en.messages.jsonl", 300, null)]
    [InlineData("toolalpaca/glaive_en.native.jsonl", 300, null)]
    [InlineData("toolalpaca/glaive_zh.messages.jsonl", 300, null)]
    [InlineData("toolalpaca/glaive_zh.native.jsonl", 300, null)]
    [InlineData("toolalpaca/toolalpaca_eval_real.native.jsonl", 110, null)]
    [InlineData("toolalpaca/toolalpaca_eval_simulated.native.jsonl", 93, null)]
    public void Every_row_of_the_reference_files_becomes_examples_with_the_real_tokenizer(
        string file,
        int rows,
        int? cut
    )
    {
        var template = new Glm4Template(
            SharedData.Glm4,
            new TemplateOptions { MaxInputTokens = cut is null ? 8192 : 512 }
        );
        var options = new ExampleOptions { Parallelism = 2 };
        var training = TrainingSet.Read(GoldenData.Shared(file), template, options);
        var evaluation = EvaluationSet.Read(GoldenData.Shared(file), template, options);
        Assert.Equal((rows, 0, cut ?? 0), (training.Count, training.Report.Skipped, training.Report.Cut));
        Assert.True(evaluation.Count >= rows);
        if (file.StartsWith("advertisegen", StringComparison.Ordinal))
        {
            var lengths = training.Select(example => example.TokenIds.Length).Order().ToList();
            Assert.Equal((57, 114, 222), (lengths[0], (lengths[534] + lengths[535]) / 2, lengths[^1]));
            Assert.Equal(
                (41, 104),
                (
                    (int)Math.Round(evaluation.Average(example => example.PromptIds.Length)),
                    evaluation.Max(example => example.PromptIds.Length)
                )
            );
            Assert.Equal(
                (75, 156),
                (
                    (int)Math.Round(evaluation.Average(example => example.TargetIds.Length)),
                    evaluation.Max(example => example.TargetIds.Length)
                )
            );
        }
    }

    [Theory]
    [InlineData("ads/train.jsonl")]
    [InlineData("ads/dev.jsonl")]
    [InlineData("tools/train.jsonl")]
    [InlineData("tools/dev.jsonl")]
    public void The_sample_sets_become_examples_with_the_sample_model(string file)
    {
        var template = new Glm4Template(TokenizerFile.Read(GoldenData.Path("../../models/glm-nano")));
        var set = TrainingSet.Read(GoldenData.Path($"../../data/{file}"), template);
        Assert.Equal((0, 0), (set.Report.Skipped, set.Report.LostTheirEnd));
        Assert.All(set, example => Assert.Equal(template.Tokenizer.Special.User, example.TokenIds[^1]));
    }

    private static string Row(string question, string answer) =>
        $"{{\"messages\": [{{\"role\": \"user\", \"content\": \"{question}\"}}, {{\"role\": \"assistant\", "
        + $"\"content\": \"{answer}\"}}]}}";

    private static string Write(TemporaryFolder folder) => folder.Write("train.jsonl", string.Join('\n', Rows));
}
