using GlmTune.Model;
using GlmTune.Recipes.Planning;

namespace GlmTune.Recipes;

public sealed class ShippedRecipesTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void The_program_has_the_recipes_of_the_repository()
    {
        var files = Directory.GetFiles(Path.Combine(GoldenData.Path(""), "..", "..", "configs"), "*.yaml");
        Assert.Equal(
            files.Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal),
            ShippedRecipes.All.Select(recipe => recipe.Name)
        );
        Assert.All(files, file => Assert.Equal(File.ReadAllText(file), ShippedRecipes.Named(file).Text));
        Assert.All(ShippedRecipes.All, recipe => Assert.EndsWith(".", recipe.Summary, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("lora-24g", 24, 1), InlineData("long-128k", 40, 1), InlineData("sft-one-gpu", 80, 1)]
    [InlineData("qlora-12g", 12, 1)]
    [InlineData("lora", 24, 1)]
    [InlineData("ptuning_v2", 24, 1)]
    [InlineData("sft", 80, 8)]
    public void A_recipe_fits_the_card_that_it_is_for(string name, int gigabytes, int gpus)
    {
        var copy = ShippedRecipes.Copy(ShippedRecipes.Named(name), folder.At("copy.yaml"));
        var fit = PlanRun.Of(
            RecipeFile.Read(copy[0]),
            ModelFamilies.Shape("glm-4-9b"),
            gpus,
            (long)(gigabytes * 0.97 * (1L << 30))
        );
        Assert.True(fit.Fits, $"{fit.Plan}");
    }

    [Fact]
    public void A_copy_can_be_trained_with_and_nothing_is_replaced()
    {
        var written = ShippedRecipes.Copy(ShippedRecipes.Named("sft"), folder.At("mine", "all.yaml"));
        Assert.Equal([folder.At("mine", "all.yaml"), folder.At("mine", "ds_zero_3.json")], written);
        Assert.Empty(CheckRecipe.Run(written[0], [], null, null, default).Problems);
        var error = Assert.Throws<IOException>(() => ShippedRecipes.Copy(ShippedRecipes.Named("sft"), written[0]));
        Assert.Equal(2, error.Message.Split('\n').Length);
        Assert.Equal(
            [folder.At("mine", "lora.yaml")],
            ShippedRecipes.Copy(ShippedRecipes.Named("configs/lora.yaml"), folder.At("mine"))
        );
    }

    [Fact]
    public void An_unknown_name_says_which_was_meant()
    {
        var error = Assert.Throws<InvalidDataException>(() => ShippedRecipes.Named("lora-25g"));
        Assert.Contains("did you mean 'lora-24g'", error.Message, StringComparison.Ordinal);
        Assert.Contains("ptuning_v2-nano", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_check_reports_recipe_data_and_model_at_once()
    {
        var recipe = folder.Write("r.yaml", "data_config: {train_file: train.jsonl}\ntraining_args: {max_stepz: 3}\n");
        folder.Write("data/train.jsonl", "not json\n");
        var (problems, _) = CheckRecipe.Run(recipe, [], folder.At("data"), folder.At("model"), default);
        var text = string.Join('\n', problems);
        Assert.Contains("max_steps", text, StringComparison.Ordinal);
        Assert.Contains("train.jsonl", text, StringComparison.Ordinal);
        Assert.Contains($"{folder.At("model")}: folder not found", text, StringComparison.Ordinal);
    }
}
