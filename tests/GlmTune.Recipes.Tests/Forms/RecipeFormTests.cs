using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Forms;

namespace GlmTune.Recipes.Tests.Forms;

public class RecipeFormTests
{
    private static RecipeField Field(string path) => RecipeForm.Fields.Single(field => field.Key.Path == path);

    [Fact]
    public void Every_field_is_explained_in_both_languages() =>
        Assert.All(
            RecipeForm.Fields,
            field =>
            {
                Assert.NotEmpty(field.English.Meaning);
                Assert.NotEmpty(field.Chinese.Meaning);
                Assert.NotEqual(field.English.Meaning, field.Chinese.Meaning);
                Assert.Equal(field.English.Group.Length > 0, field.Chinese.Group.Length > 0);
            }
        );

    [Fact]
    public void Every_key_with_an_effect_has_one_field()
    {
        var paths = RecipeForm.Fields.Select(field => field.Key.Path).ToList();
        Assert.Equal(paths.Distinct(), paths);
        Assert.Empty(
            RecipeFile
                .Keys.Where(key => key is { Effect: RecipeKeyEffect.Honoured, IsOlderName: false })
                .Where(key => key.Shape.Kind != KeyKind.Section)
                .Select(key => key.Path)
                .Except(paths)
        );
    }

    [Fact]
    public void A_field_knows_the_values_that_reading_accepts()
    {
        Assert.Equal(KeyKind.Whole, Field("training_args.per_device_train_batch_size").Key.Shape.Kind);
        Assert.Equal(1, Field("training_args.per_device_train_batch_size").Key.Shape.Least);
        Assert.Equal(KeyKind.Flag, Field("peft_config.use_dora").Key.Shape.Kind);
        Assert.Equal(["none", "nf4", "int8"], Field("quantization").Key.Shape.Words);
        Assert.Equal(["auto", "true", "false", "cheap"], Field("training_args.gradient_checkpointing").Key.Shape.Words);
        Assert.True(Field("training_args.packing").Key.Shape is { Kind: KeyKind.Flag, TakesAuto: true });
        Assert.Equal(KeyKind.Path, Field("training_args.deepspeed").Key.Shape.Kind);
        Assert.Equal(KeyKind.Path, Field("training_args.output_dir").Key.Shape.Kind);
        Assert.Equal(1, Field("training_args.warmup_ratio").Key.Shape.Most);
    }

    [Fact]
    public void Every_word_of_a_choice_is_read_without_a_problem()
    {
        foreach (var field in RecipeForm.Fields.Where(field => field.Key.Shape.Kind == KeyKind.Choice))
        {
            foreach (var word in field.Key.Shape.Words)
            {
                var text = YamlText.Set("data_config:\n  train_file: a\n", field.Key.Path, word);
                var (_, problems) = RecipeFile.TryReadText(text, "recipe.yaml");
                Assert.DoesNotContain(
                    problems.Lines,
                    line => line.Contains($"'{field.Key.Path}' is '{word}'; expected", StringComparison.Ordinal)
                );
            }
        }
    }

    [Fact]
    public void Keys_of_an_adapter_belong_to_it_alone()
    {
        Assert.Equal("LORA", Field("peft_config.r").Adapter);
        Assert.Equal("PREFIX_TUNING", Field("peft_config.num_virtual_tokens").Adapter);
        Assert.Null(Field("peft_config.peft_type").Adapter);
        Assert.Equal("With LORA", Field("peft_config.r").English.Group);
        Assert.Equal("Precision and memory", Field("training_args.dtype").English.Group);
    }
}
