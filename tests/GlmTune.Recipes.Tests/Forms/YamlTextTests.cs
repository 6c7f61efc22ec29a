using GlmTune.Recipes.Forms;

namespace GlmTune.Recipes.Tests.Forms;

public class YamlTextTests
{
    private const string Recipe = """
        # A recipe with comments.
        data_config:
          train_file: train.jsonl # rows

        max_input_length: 128

        training_args:
          output_dir: ./output

          # how fast
          learning_rate: 2e-3
          generation_config:
            max_new_tokens: 64
          # the end of the section

        peft_config:
          peft_type: LORA
          target_modules:
            - q_proj
            - v_proj
        """;

    [Fact]
    public void Values_are_read_by_full_name()
    {
        var values = YamlText.Values(Recipe);
        Assert.Equal("train.jsonl", values["data_config.train_file"]);
        Assert.Equal("64", values["training_args.generation_config.max_new_tokens"]);
        Assert.Equal("[q_proj, v_proj]", values["peft_config.target_modules"]);
    }

    [Theory]
    [InlineData("training_args.learning_rate", "5e-4", "  learning_rate: 5e-4\n")]
    [InlineData("data_config.train_file", "a b.jsonl", "  train_file: a b.jsonl # rows\n")]
    [InlineData("data_config.val_file", "dev.jsonl", "# rows\n  val_file: dev.jsonl\n\nmax_input")]
    [InlineData("training_args.max_steps", "20", "    max_new_tokens: 64\n  max_steps: 20\n  # the end")]
    [InlineData("training_args.generation_config.top_p", "0.8", "    max_new_tokens: 64\n    top_p: 0.8\n")]
    [InlineData("peft_config.target_modules", "[o_proj]", "  target_modules: [o_proj]")]
    [InlineData("training_args.lr_scheduler_kwargs.power", "2", "  lr_scheduler_kwargs:\n    power: 2\n")]
    [InlineData("training_args.output_dir", "it's: #1", "  output_dir: 'it''s: #1'\n")]
    [InlineData("max_output_length", "64", "    - v_proj\nmax_output_length: 64")]
    public void A_value_is_set_where_it_belongs(string path, string value, string expected)
    {
        var edited = YamlText.Set(Recipe, path, value);
        Assert.Contains(expected, edited, StringComparison.Ordinal);
        // Everything else is as it was.
        Assert.Equal(
            Recipe.Count(character => character == '#') + expected.Count(character => character == '#'),
            edited.Count(character => character == '#')
                + expected.Count(character => character == '#')
                - (value.Contains('#', StringComparison.Ordinal) ? 1 : 0)
        );
    }

    [Theory]
    [InlineData("training_args.learning_rate")]
    [InlineData("training_args.generation_config.max_new_tokens")]
    [InlineData("peft_config.target_modules")]
    [InlineData("max_input_length")]
    public void A_removed_key_is_gone_and_no_other(string path)
    {
        var (before, after) = (YamlText.Values(Recipe), YamlText.Values(YamlText.Set(Recipe, path, null)));
        Assert.DoesNotContain(path, after.Keys);
        Assert.Equal(
            before.Where(value => value.Key != path),
            after.Where(value => value.Key != "training_args.generation_config")
        );
    }

    [Theory]
    [InlineData("", "training_args:\n  max_steps: 3\n")]
    [InlineData("# only a comment\n", "# only a comment\ntraining_args:\n  max_steps: 3\n")]
    [InlineData("training_args:\nseed: 1\n", "training_args:\n  max_steps: 3\nseed: 1\n")]
    [InlineData("training_args: null\nseed: 1\n", "training_args:\n  max_steps: 3\nseed: 1\n")]
    [InlineData("training_args: {seed: 1}\n", "training_args: {seed: 1, max_steps: 3}\n")]
    [InlineData("training_args:\n    seed: 1\n", "training_args:\n    seed: 1\n    max_steps: 3\n")]
    [InlineData("training_args:\r\n  max_steps: 2\r\n", "training_args:\n  max_steps: 3\n")]
    [InlineData("training_args:\n  max_steps:\n  seed: 1", "training_args:\n  max_steps: 3\n  seed: 1")]
    [InlineData("training_args:\n  max_steps: \"2\" # two", "training_args:\n  max_steps: 3 # two")]
    public void Sections_are_made_and_completed(string text, string expected) =>
        Assert.Equal(expected.ReplaceLineEndings("\n"), YamlText.Set(text, "training_args.max_steps", "3"));

    [Theory]
    [InlineData("training_args: {seed: 1, max_steps: 3}", "training_args: {seed: 1}")]
    [InlineData("training_args: {max_steps: 3, seed: 1}", "training_args: {seed: 1}")]
    [InlineData("training_args: {max_steps: 3}", "training_args: {}")]
    [InlineData("seed: 1", "seed: 1")]
    public void A_key_is_removed_from_a_line(string text, string expected) =>
        Assert.Equal(expected, YamlText.Set(text, "training_args.max_steps", null));

    [Theory]
    [InlineData("[1, 2")]
    [InlineData("- a\n- b")]
    [InlineData("a: *missing\nb: [")]
    public void A_text_that_is_no_mapping_is_refused(string text) =>
        Assert.Throws<InvalidDataException>(() => YamlText.Set(text, "training_args.max_steps", "3"));

    [Fact]
    public void What_the_form_cannot_change_is_said() =>
        Assert.Contains(
            "change it in the text",
            Assert
                .Throws<InvalidDataException>(() =>
                    YamlText.Set("base: &base {seed: 1}\ntraining_args: *base\n", "training_args.max_steps", "3")
                )
                .Message,
            StringComparison.Ordinal
        );

    [Fact]
    public void Every_key_of_every_shipped_recipe_can_be_set_to_what_it_is()
    {
        foreach (var recipe in ShippedRecipes.All)
        {
            foreach (var (path, value) in YamlText.Values(recipe.Text))
            {
                var edited = YamlText.Set(recipe.Text, path, value);
                Assert.Equal(YamlText.Values(recipe.Text), YamlText.Values(edited));
            }
        }
    }
}
