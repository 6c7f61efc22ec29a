using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Evaluating;

namespace GlmTune.Recipes.Tests.Evaluating;

public sealed class QuantizedEvaluationTests : IDisposable
{
    private readonly string output = Directory.CreateTempSubdirectory("glmtune-quantized-").FullName;

    public void Dispose() => Directory.Delete(output, recursive: true);

    [Fact]
    public void The_loss_of_the_shipped_model_in_fewer_bits_is_within_one_percent()
    {
        var exact = Loss(null);
        var losses = ((string[])["nf4", "int8", "fp8"]).ToDictionary(type => type, type => Loss(type));
        Assert.All(losses, found => Assert.NotEqual(exact, found.Value));
        Assert.All(losses, found => Assert.Equal(exact, found.Value, 0.01 * exact));
        // More bits, less difference.
        Assert.True(Math.Abs(losses["int8"] - exact) < Math.Abs(losses["nf4"] - exact), $"{exact} {losses["nf4"]}");
    }

    [Fact]
    public void An_evaluation_follows_its_recipe_unless_asked_otherwise()
    {
        Assert.Equal(Loss("nf4"), Loss(null, "quantization=nf4"));
        Assert.Equal(Loss("int8"), Loss("int8", "quantization=nf4"));
    }

    private double Loss(string? quantization, params string[] settings) =>
        Evaluate
            .Run(
                RecipeFile.Read(
                    Path.Combine(TinyRun.Repository, "configs", "lora-nano.yaml"),
                    [.. settings, "training_args.predict_with_generate=false"]
                ),
                TinyRun.Data,
                new TunedPath(Path.Combine(TinyRun.Repository, "models", "glm-nano"), null),
                EvaluationFiles.OfSplit(output, "val"),
                new EvaluateOptions
                {
                    Limit = 24,
                    Device = "cpu",
                    Quantization = quantization,
                }
            )
            .Metrics["eval_loss"];
}
