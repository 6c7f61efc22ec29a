using GlmTune.Data.Templates;
using GlmTune.Inference;
using GlmTune.Model.Adapters;
using GlmTune.Training;
using GlmTune.Training.Optimization;

namespace GlmTune.Recipes.Tests.Configuration;

public class ShippedRecipeTests
{
    private static Recipe Shipped(string name, params string[] overrides) =>
        RecipeFile.Read(RepositoryFolder.Of("configs", name), overrides);

    [Fact]
    public void Every_shipped_recipe_reads_without_a_note()
    {
        var files = Directory.GetFiles(RepositoryFolder.Of("configs"), "*.yaml");
        Assert.True(files.Length >= 6);
        foreach (var file in files)
        {
            Assert.Empty(RecipeFile.Read(file).Notes);
        }
    }

    [Fact]
    public void The_lora_recipe_has_the_demos_values()
    {
        var recipe = Shipped("lora.yaml");
        Assert.Equal(
            ("train.jsonl", "dev.jsonl", "dev.jsonl"),
            (recipe.Data.TrainFile, recipe.Data.ValidationFile, recipe.Data.TestFile)
        );
        Assert.Equal(new TemplateOptions { MaxInputTokens = 512, MaxOutputTokens = 512 }, recipe.Data.Template);
        Assert.Equal("<|user|>", recipe.Data.Template.EndToken);
        Assert.Equal(SupervisedAnswers.All, recipe.Data.Template.SupervisedAnswers);
        Assert.Equal(
            new TrainingOptions
            {
                OutputFolder = "./output",
                MaxSteps = 3000,
                MicroBatchSize = 1,
                EvaluationBatchSize = 4,
                LoggingSteps = 10,
                SaveSteps = 500,
                EvaluationStrategy = IntervalStrategy.Steps,
                EvaluationSteps = 500,
                PredictWithGenerate = true,
            },
            recipe.Training
        );
        Assert.Equal(new OptimizerOptions { LearningRate = 5e-4 }, recipe.Optimizer);
        Assert.Equal(new ScheduleOptions(), recipe.Schedule);
        Assert.Equal(new GenerationOptions { MaxNewTokens = 512 }, recipe.Generation);
        Assert.NotNull(recipe.Lora);
        Assert.Equal((8, 32.0, 0.1), (recipe.Lora.Rank, recipe.Lora.Alpha, recipe.Lora.Dropout));
        Assert.Null(recipe.Lora.TargetModules);
        Assert.Null(recipe.Prefix);
        Assert.Null(recipe.DeepSpeed);
    }

    [Fact]
    public void The_prefix_recipe_has_the_demos_values()
    {
        var recipe = Shipped("ptuning_v2.yaml");
        Assert.Equal(
            new PrefixTuningOptions
            {
                VirtualTokens = 512,
                AttentionHeads = 2,
                TokenDim = 256,
            },
            recipe.Prefix
        );
        Assert.Equal((128, 128), (recipe.Data.Template.MaxInputTokens, recipe.Data.Template.MaxOutputTokens));
        Assert.Equal((4, 16), (recipe.Training.MicroBatchSize, recipe.Training.EvaluationBatchSize));
        Assert.Equal(5e-4, recipe.Optimizer.LearningRate);
        Assert.Null(recipe.Lora);
    }

    [Fact]
    public void The_full_recipe_has_the_demos_values_and_is_sharded()
    {
        var recipe = Shipped("sft.yaml");
        Assert.Equal((256, 512), (recipe.Data.Template.MaxInputTokens, recipe.Data.Template.MaxOutputTokens));
        Assert.Equal((1, 16), (recipe.Training.MicroBatchSize, recipe.Training.EvaluationBatchSize));
        Assert.Equal(5e-5, recipe.Optimizer.LearningRate);
        Assert.Null(recipe.Lora);
        Assert.Null(recipe.Prefix);
        Assert.Equal("ds_zero_3.json", recipe.DeepSpeed?.Source);
        Assert.Equal(3, recipe.Plan(4096, 8).Sharding.Stage);
    }

    [Fact]
    public void The_small_models_recipes_take_every_size_from_the_model()
    {
        Assert.Null(Shipped("lora-nano.yaml").Lora!.TargetModules);
        var prefix = Shipped("ptuning_v2-nano.yaml").Prefix!;
        Assert.Null(prefix.AttentionHeads);
        Assert.Null(prefix.TokenDim);
        var full = Shipped("sft-nano.yaml");
        Assert.Equal("test.jsonl", full.Data.TestFile);
        Assert.InRange(full.Training.MaxSteps!.Value, 60, 200);
    }

    [Theory]
    [InlineData("evaluation_strategy")]
    [InlineData("eval_strategy")]
    public void The_demos_own_file_reads_in_both_of_its_versions(string strategyKey)
    {
        var yaml = $$"""
            data_config:
              train_file: train.jsonl
              val_file: dev.jsonl
              test_file: dev.jsonl
              num_proc: 1
            combine: True
            freezeV: True
            max_input_length: 512
            max_output_length: 512
            training_args:
              # see `transformers.Seq2SeqTrainingArguments`
              output_dir: ./output
              max_steps: 3000
              learning_rate: 5e-4
              per_device_train_batch_size: 1
              dataloader_num_workers: 16
              remove_unused_columns: false
              save_strategy: steps
              save_steps: 500
              log_level: info
              logging_strategy: steps
              logging_steps: 10
              per_device_eval_batch_size: 4
              {{strategyKey}}: steps
              eval_steps: 500
              predict_with_generate: true
              generation_config:
                max_new_tokens: 512
              # deepspeed: ds_zero_3.json
            peft_config:
              peft_type: LORA
              task_type: CAUSAL_LM
              r: 8
              lora_alpha: 32
              lora_dropout: 0.1
              target_modules: ["query_key_value"]
            """;
        var recipe = RecipeFile.Read(new StringReader(yaml), "lora.yaml");
        Assert.Equal(IntervalStrategy.Steps, recipe.Training.EvaluationStrategy);
        Assert.Equal(SupervisedAnswers.Last, recipe.Data.Template.SupervisedAnswers);
        Assert.Equal(["query_key_value"], recipe.Lora!.TargetModules!.Names);
        Assert.Equal(
            [
                "lora.yaml, line 7: 'freezeV' has no effect here: it applies only to the vision model",
                "lora.yaml, line 16: 'training_args.dataloader_num_workers' has no effect here: batches "
                    + "are prepared in this process while the device computes",
                "lora.yaml, line 17: 'training_args.remove_unused_columns' has no effect here: rows "
                    + "contain only what the model reads",
                "lora.yaml, line 20: 'training_args.log_level' has no effect here: messages are few and always shown",
            ],
            recipe.Notes
        );
    }
}
