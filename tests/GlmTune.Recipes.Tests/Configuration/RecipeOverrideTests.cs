using GlmTune.Training;

namespace GlmTune.Recipes.Tests.Configuration;

public class RecipeOverrideTests
{
    private const string Yaml =
        "data_config:\n  train_file: train.jsonl\ntraining_args:\n  max_steps: 3000\n  evaluation_strategy: steps\n";

    [Fact]
    public void An_override_replaces_adds_and_removes_keys()
    {
        var recipe = RecipeText.Read(
            Yaml,
            "training_args.max_steps=20",
            "training_args.learning_rate = 1e-2",
            "data_config.val_file=dev.jsonl",
            "peft_config={peft_type: LORA, r: 2}",
            "peft_config.target_modules=[a, b]",
            "training_args.generation_config.max_new_tokens=5"
        );
        Assert.Equal(20, recipe.Training.MaxSteps);
        Assert.Equal(1e-2, recipe.Optimizer.LearningRate);
        Assert.Equal("dev.jsonl", recipe.Data.ValidationFile);
        Assert.Equal(2, recipe.Lora!.Rank);
        Assert.Equal(["a", "b"], recipe.Lora.TargetModules!.Names);
        Assert.Equal(5, recipe.Generation.MaxNewTokens);
        Assert.Null(RecipeText.Read(Yaml, "training_args.max_steps=null").Training.MaxSteps);
        Assert.Null(RecipeText.Read(Yaml, "peft_config={peft_type: LORA}", "peft_config=null").Lora);
    }

    [Fact]
    public void An_override_removes_a_key_that_nobody_knows_and_no_other()
    {
        const string yaml =
            "data_config:\n  train_file: train.jsonl\nown_loader: {path: x, more: [1]}\ntraining_args:\n  "
            + "shuffle_all: 1\n";
        var recipe = RecipeText.Read(yaml, "own_loader=null", "training_args.shuffle_all=~");
        Assert.Empty(recipe.Notes);
        Assert.Equal(
            ["r.yaml, line 3: unknown key 'own_loader'"],
            RecipeText.Problems(yaml, "training_args.shuffle_all=null")
        );
        Assert.Equal(
            ["--set training_args.max_step=null: unknown key 'training_args.max_step'; did you mean 'max_steps'?"],
            RecipeText.Problems(Yaml, "training_args.max_step=null")
        );
    }

    [Fact]
    public void An_override_removes_an_older_name() =>
        Assert.Equal(
            IntervalStrategy.No,
            RecipeText.Read(Yaml, "training_args.evaluation_strategy=null").Training.EvaluationStrategy
        );

    [Fact]
    public void Of_two_overrides_the_later_counts() =>
        Assert.Equal(2, RecipeText.Read(Yaml, "training_args.seed=1", "training_args.seed=2").Training.Seed);

    [Fact]
    public void An_override_under_a_keys_newer_name_replaces_its_older_one() =>
        Assert.Equal(
            IntervalStrategy.No,
            RecipeText.Read(Yaml, "training_args.eval_strategy=no").Training.EvaluationStrategy
        );

    [Fact]
    public void A_special_token_needs_no_quotes() =>
        Assert.Equal(
            "<|endoftext|>",
            RecipeText.Read(Yaml, "data_config.end_token=<|endoftext|>").Data.Template.EndToken
        );

    [Theory]
    [InlineData("training_args.max_step=20", "unknown key 'training_args.max_step'; did you mean 'max_steps'?")]
    [InlineData("max_steps=20", "unknown key 'max_steps'; did you mean 'training_args.max_steps'?")]
    [InlineData("trainig_args.max_steps=20", "unknown key 'trainig_args'; did you mean 'training_args'?")]
    [InlineData(
        "training_args.max_steps=soon",
        "'training_args.max_steps' is 'soon'; expected a whole number of at least -1"
    )]
    [InlineData(
        "training_args.max_steps.more=1",
        "'training_args.max_steps' is '3000' (r.yaml, line 4) and has no keys"
    )]
    [InlineData("training_args.max_steps", "expected KEY=VALUE, such as training_args.max_steps=20")]
    [InlineData("=3", "expected KEY=VALUE, such as training_args.max_steps=20")]
    [InlineData("peft_config={peft_type: LORA", "invalid YAML: ")]
    public void A_wrong_override_is_named_as_it_was_given(string option, string problem) =>
        Assert.StartsWith(
            $"--set {option}: {problem}",
            Assert.Single(RecipeText.Problems(Yaml, option)),
            StringComparison.Ordinal
        );
}
