using GlmTune.Hub.Caches;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Training;

namespace GlmTune.Recipes.Tests;

/// <summary>Paths that do not exist, and reports that name all of them.</summary>
public sealed class RunFilesTests : IDisposable
{
    private const string Row =
        """{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}""";
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void One_report_has_the_problems_of_the_recipe_the_data_and_the_model()
    {
        var recipe = folder.Write(
            "r.yaml",
            """
            data_config: { train_file: train.jsonl, val_file: dev.jsonl, test_file: tset.jsonl }
            training_args: { max_stepz: 3, seed: x }
            """
        );
        folder.Write("data/train.jsonl", Row + "\n{\"messages\": 3}\n");
        folder.Write("data/dev.jsonl", "not JSON\n");
        folder.Write("data/test.jsonl", Row);
        Directory.CreateDirectory(folder.At("models", "glm-small"));
        var error = Assert.Throws<InvalidDataException>(() =>
            RunFiles.ReadRecipe(
                recipe,
                ["training_args.output_dir=3"],
                folder.At("data"),
                folder.At("models", "glm-smal")
            )
        );
        foreach (
            var part in new[]
            {
                "r.yaml, line 2: unknown key 'training_args.max_stepz'; did you mean 'max_steps'?",
                "r.yaml, line 2: 'training_args.seed' is 'x'",
                $"Did you mean {folder.At("models", "glm-small")}?",
                "train.jsonl, line 2",
                "dev.jsonl, line 1",
                $"tset.jsonl: file not found; the recipe's data_config.test_file names it. Did you mean "
                    + $"{folder.At("data", "test.jsonl")}?",
            }
        )
        {
            Assert.Contains(part, error.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_recipe_without_problems_is_read_though_the_rest_is_missing() =>
        Assert.Equal(
            "t.jsonl",
            RunFiles
                .ReadRecipe(folder.Write("r.yaml", "data_config: {train_file: t.jsonl}"), [], "none", "none")
                .Data.TrainFile
        );

    [Theory]
    [InlineData("<!DOCTYPE html><html>", "r.yaml: is a web page")]
    [InlineData("a: [", "r.yaml, line 2: invalid YAML")]
    public void A_recipe_that_is_no_recipe_blames_no_data_file(string content, string expected)
    {
        folder.Write("data/train.jsonl", Row);
        var error = Assert.Throws<InvalidDataException>(() =>
            RunFiles.ReadRecipe(
                folder.Write("r.yaml", content),
                [],
                folder.At("data"),
                Path.Combine(TinyRun.Repository, "models", "glm-nano")
            )
        );
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("names it", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_recipe_in_another_encoding_is_refused()
    {
        var path = folder.Write("r.yaml", "");
        File.WriteAllBytes(path, [.. "data_config: {train_file: "u8, 0xD6, 0xD0, .. "}"u8]);
        var error = Assert.Throws<InvalidDataException>(() => RecipeFile.Read(path));
        Assert.Contains("is not valid UTF-8; it may be GBK", error.Message, StringComparison.Ordinal);
        File.WriteAllText(path, "data_config: {train_file: 中.jsonl}", System.Text.Encoding.Unicode);
        Assert.Equal("中.jsonl", RecipeFile.Read(path).Data.TrainFile);
    }

    [Fact]
    public void A_missing_recipe_is_reported_with_the_missing_folders()
    {
        folder.Write("configs/lora.yaml", "");
        var error = Assert.Throws<InvalidDataException>(() =>
            RunFiles.ReadRecipe(folder.At("configs", "lorra.yaml"), [], folder.At("data"), folder.At("model"))
        );
        Assert.Contains($"Did you mean {folder.At("configs", "lora.yaml")}?", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{folder.At("data")}: folder not found", error.Message, StringComparison.Ordinal);
        Assert.Contains($"{folder.At("model")}: folder not found", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("models/glm-nona", "Did you mean {0}/models/glm-nano?")]
    [InlineData("models/something-else", "{0}/models has glm-nano.")]
    [InlineData("modles/glm-nano", "Did you mean {0}/models/glm-nano?")]
    [InlineData("elsewhere/deep/model", "{0} has no folder elsewhere. {0} has models.")]
    public void A_mistyped_path_is_compared_with_what_is_there(string path, string hint)
    {
        Directory.CreateDirectory(folder.At("models", "glm-nano"));
        Assert.EndsWith(
            hint.Replace("{0}", folder.Path, StringComparison.Ordinal),
            NearbyNames.MissingFolder(folder.At(path), "a model's folder"),
            StringComparison.Ordinal
        );
    }

    // The tests' working folder has a folder "runtimes", or whatever comes first in it.
    [Fact]
    public void Nothing_is_to_be_downloaded_for_a_folder_here()
    {
        var here = Path.GetFileName(Directory.EnumerateDirectories(AppContext.BaseDirectory).Order().First());
        var parent = Path.GetRelativePath(".", Path.Combine(AppContext.BaseDirectory, here));
        var error = Assert.Throws<InvalidDataException>(() =>
            ModelReference.Resolve($"{parent}/nothing", new ModelCaches(new HubCache([]), new ModelScopeCache([])))
        );
        Assert.DoesNotContain("glmtune model pull", error.Message, StringComparison.Ordinal);
        Assert.Contains(
            "glmtune model pull nobody/nothing",
            Assert
                .Throws<InvalidDataException>(() =>
                    ModelReference.Resolve("nobody/nothing", new ModelCaches(new HubCache([]), new ModelScopeCache([])))
                )
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_missing_data_folder_is_named_and_so_are_the_files_of_one_that_is_there()
    {
        var options = new GlmTune.Recipes.Configuration.DataOptions { TrainFile = "a.jsonl", TestFile = "train.json" };
        folder.Write("ads/train.jsonl", Row);
        Assert.EndsWith(
            $"Did you mean {folder.At("ads")}?",
            Assert.Single(DataFolder.FindMissing(options, folder.At("adz"))),
            StringComparison.Ordinal
        );
        Assert.Collection(
            DataFolder.FindMissing(options, folder.At("ads")),
            text => Assert.EndsWith($"{folder.At("ads")} has train.jsonl.", text, StringComparison.Ordinal),
            text => Assert.EndsWith($"Did you mean {folder.At("ads", "train.jsonl")}?", text, StringComparison.Ordinal)
        );
    }
}
