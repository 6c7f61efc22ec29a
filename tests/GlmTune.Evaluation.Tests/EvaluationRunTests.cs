using System.Text;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation.Metrics;
using GlmTune.Inference;
using GlmTune.Inference.Tests;

namespace GlmTune.Evaluation.Tests;

public class EvaluationRunTests
{
    private static readonly Tokenizer Bytes = new(
        [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })],
        SpecialTokens.After(256)
    );
    private static readonly Glm4Template Template = new(Bytes);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    public void Every_answer_is_made_once_and_stands_beside_its_own_reference_in_the_datas_order(int slots)
    {
        var answers = Answers(Enumerable.Range(0, 40).Select(i => (new string('a', i * 7 % 11) + i, $"label {i}")));
        var progress = new List<EvaluationProgress>();
        var report = new EvaluationRun(Bytes, [Row], answers) { BatchSize = slots }.Run(Reversing(), progress.Add);
        Assert.Equal(answers, report.Answers.Select(answer => answer.Example));
        Assert.Equal(
            Enumerable.Range(0, 40).Select(i => Reversed(new string('a', i * 7 % 11) + i)),
            report.Answers.Select(answer => answer.Prediction)
        );
        Assert.Equal(Enumerable.Range(0, 40).Select(i => $"label {i}"), report.Answers.Select(answer => answer.Label));
        Assert.All(report.Answers, answer => Assert.Equal(FinishReason.Stop, answer.Finish));
        Assert.Equal(
            [
                new(EvaluationPart.Loss, 1, 1),
                .. Enumerable.Range(1, 40).Select(done => new EvaluationProgress(EvaluationPart.Answers, done, 40)),
            ],
            progress
        );
    }

    [Fact]
    public void A_later_answer_is_asked_for_after_the_reference_of_an_earlier_one()
    {
        var conversation = new Conversation([
            new(Role.User, "one"),
            new(Role.Assistant, "eno") { Loss = true },
            new(Role.User, "two"),
            new(Role.Assistant, "owt"),
            new(Role.User, "six"),
            new(Role.Assistant, "no"),
        ]);
        var report = new EvaluationRun(Bytes, [Row], Template.RenderEvaluation(conversation)).Run(Reversing());
        Assert.Equal(
            [("eno", "eno", 1), ("owt", "owt", 3), ("xis", "no", 5)],
            report.Answers.Select(answer => (answer.Prediction, answer.Label, answer.Example.MessageIndex))
        );
        Assert.Equal("[gMASK]<sop><|user|>\none<|assistant|>\neno<|user|>\ntwo<|assistant|>", report.Answers[1].Prompt);
    }

    [Theory]
    [InlineData("\nHm.\n</think>\n\n好\n", "好", "Hm.", 100)]
    [InlineData("\nHm. 好", "", "Hm. 好", 0)]
    public void Thoughts_are_kept_apart_from_the_answer_that_is_scored(
        string said,
        string prediction,
        string reasoning,
        double score
    )
    {
        var template = new Glm4Template(Bytes, new TemplateOptions { Preset = TemplatePreset.Z1 });
        var rows = template.RenderEvaluation(
            new Conversation([new(Role.User, "one"), new(Role.Assistant, "好") { Reasoning = "No." }])
        );
        var model = Saying([.. Bytes.Encode("\n<think>" + said), Bytes.Special.User]);
        var answer = new EvaluationRun(Bytes, [Row], rows).Run(model).Answers[0];
        Assert.Equal((prediction, "好", reasoning), (answer.Prediction, answer.Label, answer.Reasoning));
        Assert.Equal(score, answer.Scores.Rouge1);
        Assert.Equal(reasoning, answer.ToRow().Extra["reasoning_content"].GetString());
    }

    [Theory]
    [InlineData("<|endoftext|>")]
    [InlineData("<|user|>")]
    [InlineData("<|observation|>")]
    public void An_answer_ends_with_each_token_that_ends_a_turn(string token)
    {
        var model = Saying([.. Bytes.Encode("\n 好 "), Bytes.Special.All[token], .. Bytes.Encode("more")]);
        var answer = new EvaluationRun(Bytes, [Row], Answers([("a", "好")])).Run(model).Answers[0];
        Assert.Equal(("好", "好", FinishReason.Stop), (answer.Prediction, answer.Label, answer.Finish));
        Assert.Equal(100, answer.Scores.Rouge1);
    }

    [Fact]
    public void Token_ids_that_are_said_end_it_and_no_others()
    {
        var model = Saying([
            .. Bytes.Encode("\nab"),
            Bytes.Special.Sop,
            .. Bytes.Encode("c"),
            Bytes.Special.User,
            .. Bytes.Encode("d!e"),
        ]);
        var run = new EvaluationRun(Bytes, [Row], Answers([("a", "b")]))
        {
            Generation = new GenerationOptions { EosTokenIds = Bytes.Encode("!") },
        };
        Assert.Equal("abcd", run.Run(model).Answers[0].Prediction);
    }

    [Fact]
    public void An_answer_that_does_not_end_is_cut_by_the_limit()
    {
        var run = new EvaluationRun(Bytes, [Row], Answers([("a", "b"), ("c", "d")]))
        {
            Generation = new GenerationOptions { MaxNewTokens = 5 },
        };
        Assert.All(
            run.Run(FakeLm.Sure(300, _ => 'x')).Answers,
            answer => Assert.Equal(("xxxxx", FinishReason.Length), (answer.Prediction, answer.Finish))
        );
    }

    [Fact]
    public void Scores_are_the_means_of_each_pair_and_an_empty_answer_scores_nothing()
    {
        var answers = Answers([("abc", "cba"), ("", "nothing"), ("今天 天气", "气天 天今"), ("xyz", "wrong")]);
        var report = new EvaluationRun(Bytes, [Row], answers).Run(Reversing());
        var expected = GenerationScores.Mean(
            GenerationScores.OfEach([("cba", "cba"), ("", "nothing"), ("气天 天今", "气天 天今"), ("zyx", "wrong")])
        );
        Assert.Equal(expected, report.Scores);
        Assert.Equal(50, report.Scores!.Rouge1, 1e-4);
        Assert.Equal(
            [
                "eval_loss",
                "eval_perplexity",
                "eval_rouge-1",
                "eval_rouge-2",
                "eval_rouge-l",
                "eval_bleu-4",
                "eval_runtime",
                "eval_samples_per_second",
            ],
            report.Metrics.Keys
        );
        Assert.Equal(expected.Bleu4, report.Metrics["eval_bleu-4"]);
        Assert.Equal(4, report.Metrics["eval_samples_per_second"] * report.Metrics["eval_runtime"], 1e-6);
    }

    [Fact]
    public void Without_answers_there_is_the_loss_alone()
    {
        var report = new EvaluationRun(Bytes, [Row, Row], []).Run(new FakeLm(270, _ => new float[270]));
        Assert.Equal(Math.Log(270), report.Metrics["eval_loss"], 1e-5);
        Assert.Equal(270, report.Metrics["eval_perplexity"], 1e-2);
        Assert.Equal(["eval_loss", "eval_perplexity", "eval_runtime", "eval_samples_per_second"], report.Metrics.Keys);
        Assert.Equal(2, report.Metrics["eval_samples_per_second"] * report.Metrics["eval_runtime"], 1e-6);
        Assert.Null(report.Scores);
        Assert.Empty(report.Samples());
    }

    [Fact]
    public void Samples_are_spread_over_the_data_at_the_same_places_each_time()
    {
        var run = new EvaluationRun(Bytes, [Row], Answers(Enumerable.Range(0, 10).Select(i => ($"{i}", "x"))));
        Assert.Equal(["0", "3", "6"], run.Run(Reversing()).Samples(3).Select(answer => answer.Prediction));
        Assert.Equal(10, run.Run(Reversing()).Samples(99).Count);
    }

    [Fact]
    public void A_prediction_line_says_which_answer_it_is()
    {
        var report = new EvaluationRun(
            Bytes,
            [Row],
            [.. Answers([("好\"", "b")]).Select(example => example with { Line = 7 })]
        ).Run(Reversing());
        Assert.Equal(
            """{"prediction":"\"好","label":"b","line":7,"message_index":1,"prompt":"[gMASK]<sop><|user|>\n好\"<|assistant|>","finish_reason":"stop"}""",
            PredictionFile.ToLine(report.Answers[0].ToRow())
        );
    }

    [Fact]
    public void It_ends_when_asked_to()
    {
        using var stop = new CancellationTokenSource();
        var done = 0;
        var run = new EvaluationRun(Bytes, [Row], Answers(Enumerable.Range(0, 30).Select(i => ($"{i}", "x"))))
        {
            BatchSize = 1,
        };
        Assert.Throws<OperationCanceledException>(() =>
            run.Run(
                Reversing(),
                progress =>
                {
                    if (progress.Part == EvaluationPart.Answers && ++done == 3)
                    {
                        stop.Cancel();
                    }
                },
                stop.Token
            )
        );
        Assert.Equal(3, done);
    }

    [Fact]
    public void A_prompt_that_leaves_no_room_for_an_answer_is_named()
    {
        var answers = Answers([("short", "x"), (new string('a', 60), "x")])
            .Select((example, i) => example with { Line = i + 1 })
            .ToList();
        var run = new EvaluationRun(Bytes, [Row], answers) { Generation = new GenerationOptions { MaxLength = 50 } };
        var error = Assert.Throws<InvalidDataException>(() => run.Run(Reversing())).Message;
        Assert.StartsWith("line 2, messages[1]: the prompt has 65 tokens\n", error, StringComparison.Ordinal);
        Assert.DoesNotContain("line 1,", error, StringComparison.Ordinal);
        Assert.Contains("limited to 50 tokens", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_tokenizer_with_more_tokens_than_the_model_is_refused() =>
        Assert.Throws<InvalidDataException>(() => new EvaluationRun(Bytes, [Row], []).Run(FakeLm.Sure(269, _ => 0)));

    private static TokenizedExample Row => new([1, 2, 3], [(1, 3)]) { FullLength = 3, LostItsEnd = false };

    private static List<EvaluationExample> Answers(IEnumerable<(string Prompt, string Label)> pairs) =>
        [
            .. pairs.SelectMany(pair =>
                Template.RenderEvaluation(
                    new Conversation([new(Role.User, pair.Prompt), new(Role.Assistant, pair.Label)])
                )
            ),
        ];

    // Answers a line break and the last user's text backwards, then hands over to the user.
    private static FakeLm Reversing() =>
        FakeLm.Sure(
            300,
            history =>
            {
                var asked = Array.LastIndexOf(history, Bytes.Special.Assistant);
                if (asked < 0)
                {
                    return 0;
                }

                var user = Array.LastIndexOf(history, Bytes.Special.User, asked);
                var text = Bytes.Decode(history.AsSpan(user + 2, asked - user - 2));
                return Next(
                    history,
                    asked,
                    [.. Encoding.UTF8.GetBytes("\n" + Reversed(text)).Select(value => (int)value), Bytes.Special.User]
                );
            }
        );

    private static FakeLm Saying(int[] answer) =>
        FakeLm.Sure(300, history => Next(history, Array.LastIndexOf(history, Bytes.Special.Assistant), answer));

    private static int Next(int[] history, int asked, int[] answer) =>
        asked < 0 ? 0 : answer[Math.Min(history.Length - asked - 1, answer.Length - 1)];

    private static string Reversed(string text) => new([.. text.Reverse()]);
}
