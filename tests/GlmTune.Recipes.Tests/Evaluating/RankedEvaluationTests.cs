using System.Text.Json;
using GlmTune.Collectives;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation;
using GlmTune.Inference;
using GlmTune.Inference.Tests;
using GlmTune.Recipes.Evaluating;
using GlmTune.Recipes.Tests.Configuration;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Tests;

public sealed class RankedEvaluationTests : IDisposable
{
    private const string Generating =
        "predict_with_generate: true\nper_device_eval_batch_size: 3\ngeneration_config: {max_new_tokens: 9}";
    private static readonly Tokenizer Bytes = new(
        [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })],
        SpecialTokens.After(256)
    );
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-test-").FullName;

    [Fact]
    public void Each_evaluation_keeps_its_metrics_and_predictions_by_step()
    {
        var evaluation = Create(RecipeText.WithArguments(Generating));
        foreach (var (step, letter) in new[] { (20L, 'x'), (40L, 'y') })
        {
            var report = Run(evaluation, Saying(letter), step);
            var rows = PredictionFile.Read(InEval($"step-{step}.predictions.jsonl"));
            Assert.Equal(Enumerable.Range(1, 7), rows.Select(row => row.Extra["line"].GetInt32()));
            Assert.All(rows, row => Assert.Equal(new string(letter, 9), row.Prediction));
            Assert.Equal(
                report.Metrics,
                JsonSerializer.Deserialize<Dictionary<string, double>>(
                    File.ReadAllBytes(InEval($"step-{step}.metrics.json"))
                )
            );
            Assert.Equal(7, report.Rows);
            Assert.Equal(100.0 * (letter == 'y' ? 1 : 0) / 7, report.Metrics["eval_rouge-1"], 1e-4);
        }
    }

    [Fact]
    public void Without_predict_with_generate_there_is_the_loss_alone()
    {
        var model = Saying('x');
        var report = Run(Create(RecipeText.WithArguments("per_device_eval_batch_size: 3")), model, 5);
        Assert.Empty(report.Answers);
        Assert.Equal([3, 3, 1], model.PassSizes);
        Assert.Equal(["step-5.metrics.json"], Directory.GetFiles(InEval("")).Select(Path.GetFileName));
    }

    [Fact]
    public void Answers_are_made_as_many_at_once_as_the_recipe_says()
    {
        var model = Saying('x');
        Create(RecipeText.WithArguments(Generating)).Run(model);
        Assert.Equal(3, model.PassSizes.Max());
    }

    [Fact]
    public void Max_eval_samples_takes_the_first_rows()
    {
        var report = Create(RecipeText.WithArguments(Generating), "data_config.max_eval_samples=2").Run(Saying('x'));
        Assert.Equal((2, 2), (report.Rows, report.Answers.Count));
    }

    [Fact]
    public void Answers_end_where_the_recipe_says_else_where_the_models_configuration_does()
    {
        var of = new GenerationOptions
        {
            EosTokenIds = ['b'],
            DoSample = true,
            Temperature = 50,
            MaxNewTokens = 1,
        };
        Assert.Equal("a", First(Create(RecipeText.WithArguments(Generating), model: of)));
        Assert.Equal(
            "ab",
            First(
                Create(
                    RecipeText.WithArguments(Generating),
                    model: of,
                    overrides: ["training_args.generation_config.eos_token_id=99"]
                )
            )
        );

        static string First(RankedEvaluation evaluation) =>
            evaluation
                .Run(FakeLm.Sure(300, history => history[^1] is >= 'a' and < 'z' ? history[^1] + 1 : 'a'))
                .Answers[0]
                .Prediction;
    }

    [Fact]
    public void Sampled_answers_are_the_same_each_time()
    {
        var evaluation = Create(
            RecipeText.WithArguments(
                "predict_with_generate: true\ngeneration_config: {max_new_tokens: 9, do_sample: true}"
            )
        );
        string[] Sample() =>
            [.. evaluation.Run(new FakeLm(300, _ => new float[300])).Answers.Select(answer => answer.Prediction)];
        var first = Sample();
        Assert.Equal(first, Sample());
        Assert.Equal(7, first.Distinct().Count());
    }

    [Fact]
    public void A_loss_that_is_not_finite_is_null_in_the_file()
    {
        var report = new EvaluationReport
        {
            Rows = 1,
            Loss = new(double.NaN, 4),
            Elapsed = TimeSpan.FromSeconds(1),
        };
        EvaluationFiles.OfSplit(folder, "val").Write(report);
        using var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "metrics_val.json")));
        Assert.Equal(JsonValueKind.Null, json.RootElement.GetProperty("eval_loss").ValueKind);
    }

    [Fact]
    public void Answers_whose_prompt_is_too_long_are_noted_and_none_left_is_an_error()
    {
        var some = Create(RecipeText.WithArguments(Generating), "max_input_length=14");
        Assert.Contains(some.Data.Notes, note => note.Contains("answers are not generated", StringComparison.Ordinal));
        Assert.InRange(some.Data.Answers!.Count, 1, 6);
        Assert.Contains(
            "every prompt has 5 tokens or more",
            Assert
                .Throws<InvalidDataException>(() => Create(RecipeText.WithArguments(Generating), "max_input_length=5"))
                .Message,
            StringComparison.Ordinal
        );
    }

    [Theory]
    [
        InlineData("per_device_eval_batch_size: 1"),
        InlineData("predict_with_generate: true\nper_device_eval_batch_size: 1\ngeneration_config: {max_new_tokens: 9}")
    ]
    public void A_rank_that_is_asked_to_stop_ends_the_evaluation_of_all(string arguments)
    {
        using var stop = new CancellationTokenSource();
        var passes = new int[2];
        var file = WriteRows(40);
        InProcess.Run(
            2,
            ranks =>
            {
                var recipe = RecipeText.Read(RecipeText.WithArguments(arguments));
                var evaluation = Of(recipe, file, ranks);
                var model = FakeLm.Sure(
                    300,
                    _ =>
                    {
                        if (ranks.Rank == 1)
                        {
                            stop.Cancel(); // in its first pass
                        }

                        return 'x';
                    }
                );
                Assert.ThrowsAny<OperationCanceledException>(() =>
                    Run(evaluation, model, 1, ranks.Rank == 1 ? stop.Token : default)
                );
                passes[ranks.Rank] = model.PassSizes.Count;
            }
        );
        // Alone, rank 0 would have made 20 passes, and with answers 180 more.
        Assert.InRange(passes[0], 1, 2);
        Assert.InRange(passes[1], 1, 2);
        Assert.False(Directory.Exists(InEval("")));
    }

    [Fact]
    public void Ranks_with_more_or_fewer_passes_than_others_all_come_to_the_end()
    {
        var file = WriteRows(3);
        var reports = InProcess.Run(
            4,
            ranks =>
            {
                var recipe = RecipeText.Read(
                    RecipeText.WithArguments(
                        "predict_with_generate: true\nper_device_eval_batch_size: 1\ngeneration_config: "
                            + "{max_new_tokens: 9}"
                    )
                );
                return Run(Of(recipe, file, ranks), Saying('x'), 1);
            }
        );
        Assert.All(reports, report => Assert.Equal((3, 3), (report.Rows, report.Answers.Count)));
        // its time too, by which the best may be chosen
        Assert.All(reports, report => Assert.Equal(reports[0].Metrics, report.Metrics));
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private RankedEvaluation Create(string yaml, params string[] overrides) => Create(yaml, null, overrides);

    private RankedEvaluation Create(string yaml, GenerationOptions? model, string[]? overrides = null) =>
        Of(RecipeText.Read(yaml, overrides ?? []), WriteRows(7), new SingleRank(), model);

    private static RankedEvaluation Of(
        Recipe recipe,
        string file,
        ICollectives ranks,
        GenerationOptions? model = null
    ) =>
        new(
            recipe,
            Bytes,
            EvaluationData.Read(
                file,
                new Glm4Template(Bytes, recipe.Data.Template),
                recipe.Data.ValidationRows,
                recipe.Training.PredictWithGenerate
            ),
            model,
            new RunRanks(ranks)
        );

    private EvaluationReport Run(
        RankedEvaluation evaluation,
        FakeLm model,
        long step,
        CancellationToken stop = default
    ) => evaluation.Run(model, stop: stop, write: report => EvaluationFiles.OfStep(folder, step).Write(report));

    private string WriteRows(int count)
    {
        var file = Path.Combine(folder, "dev.jsonl");
        File.WriteAllLines(
            file,
            Enumerable
                .Range(0, count)
                .Select(i =>
                    $$"""{"messages": [{"role": "user", "content": "{{new string('q', i * 3)}}?"}, {"role": "assistant", "content": "{{(i == 4 ? "yyyyyyyyy" : $"answer {i}")}}"}]}"""
                )
        );
        return file;
    }

    private string InEval(string name) => Path.Combine(folder, "eval", name);

    private static FakeLm Saying(char letter) => FakeLm.Sure(300, _ => letter);
}
