using GlmTune.Model;
using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sentinel;
using GlmTune.Training.SequenceParallel;

namespace GlmTune.Recipes.Configuration;

/// <summary>Finds settings that are valid on their own but conflict with each other.</summary>
internal static class RecipeChecks
{
    /// <returns>The recipe without settings that others turn off.</returns>
    public static Recipe Run(Recipe recipe, Section arguments)
    {
        recipe = StateSection.Check(recipe, arguments);
        var training = recipe.Training;
        var evaluates = training.EvaluationStrategy != IntervalStrategy.No;
        if (recipe.Data.ValidationFile is null && (evaluates || training.EvaluationOnStart))
        {
            Unevaluated(recipe, arguments);
        }

        if (training.SaveStrategy == IntervalStrategy.Best && !evaluates)
        {
            arguments.Problem(
                "save_strategy",
                "'training_args.save_strategy' is best, but 'training_args.eval_strategy' is no; set " + "eval_strategy"
            );
        }

        if (training.MayRewind && (training.SaveStrategy == IntervalStrategy.No || training.SaveOnlyModel))
        {
            var key = training.NonFinitePolicy == BadStepPolicy.Rewind ? "nonfinite_policy" : "spike_policy";
            arguments.Problem(
                key,
                $"'training_args.{key}' is rewind, which needs checkpoints with optimizer state; set save_strategy: "
                    + "steps and save_only_model: false, or another policy"
            );
        }

        if (training.EarlyStoppingPatience is not null && !evaluates)
        {
            arguments.Problem(
                "early_stopping_patience",
                "'training_args.early_stopping_patience' is set, but 'training_args.eval_strategy' is no; "
                    + "set eval_strategy"
            );
        }

        if (training.LoadBestModelAtEnd)
        {
            CheckBestModel(training, arguments, evaluates);
        }

        if (training is { PredictWithGenerate: false, MetricForBestModel: not (null or "loss" or "perplexity") })
        {
            arguments.Problem(
                "metric_for_best_model",
                $"'training_args.metric_for_best_model' is '{training.MetricForBestModel}', which needs generated "
                    + "answers; set predict_with_generate: true, or use loss"
            );
        }

        if (training is { PackLength: not null, Packing: false })
        {
            arguments.Problem(
                "pack_length",
                "'training_args.pack_length' is set, but 'training_args.packing' is false; set packing: true, or "
                    + "remove it"
            );
        }

        if (training.PackLength < recipe.Data.Template.MaxTrainingTokens)
        {
            arguments.Problem(
                "pack_length",
                $"'training_args.pack_length' is {training.PackLength}, but a row can have "
                    + $"{recipe.Data.Template.MaxTrainingTokens} tokens (max_input_length + max_output_length + "
                    + "1); make it at least that"
            );
        }

        if (training.Fp8Base && recipe.Lora is null && recipe.Prefix is null)
        {
            arguments.Problem(
                "fp8_base",
                "'training_args.fp8_base' is true, but without an adapter all weights are trained, and "
                    + "trained weights cannot be stored in fp8; add peft_config, or remove fp8_base"
            );
        }

        if (training.Quantization != BaseQuantization.None && recipe.Lora is null && recipe.Prefix is null)
        {
            arguments.Problem(
                "quantization",
                $"'quantization' is {training.Quantization.ToString().ToLowerInvariant()}, but without an adapter all "
                    + "weights are trained, and trained weights cannot be quantized; add peft_config, or remove "
                    + "quantization"
            );
        }

        if (training.Quantization != BaseQuantization.None && training.Fp8Base)
        {
            arguments.Problem(
                "fp8_base",
                $"'quantization' is {training.Quantization.ToString().ToLowerInvariant()} and 'training_args.fp8_base' "
                    + "is true, but a weight is stored in one way; remove one of the two"
            );
        }

        if (training.OffloadEmbedding && recipe.Lora is null && recipe.Prefix is null)
        {
            arguments.Problem(
                "offload_embedding",
                "'training_args.offload_embedding' is true, but without an adapter the embedding is "
                    + "trained; add peft_config, or remove offload_embedding"
            );
        }

        if (training is { OffloadActivations: true, Recompute: RecomputeMode.None or RecomputeMode.Selective })
        {
            arguments.Problem(
                "offload_activations",
                "'training_args.offload_activations' is true: only the inputs of the layers are kept, and everything "
                    + "else is recomputed; set gradient_checkpointing: true, or remove offload_activations"
            );
        }

        if (training.Fp8Base && recipe.Lora is { UseDora: true })
        {
            arguments.Problem(
                "fp8_base",
                "'training_args.fp8_base' is true, but DoRA ('peft_config.use_dora') needs the exact "
                    + "weights at every step; remove one of the two"
            );
        }

        var schedule = recipe.Schedule;
        if (schedule.Kind == ScheduleKind.Polynomial && schedule.EndLearningRate >= recipe.Optimizer.LearningRate)
        {
            arguments.Problem(
                "learning_rate",
                $"'training_args.learning_rate' is {Scalars.Write(recipe.Optimizer.LearningRate)}, but a "
                    + $"polynomial schedule ends at lr_end {Scalars.Write(schedule.EndLearningRate)}; choose a "
                    + "lower lr_end"
            );
        }

        if (training.MaxSteps is { } steps && schedule.WarmupSteps >= steps)
        {
            arguments.Note(
                "warmup_steps",
                $"all {steps} steps are warm-up ('training_args.warmup_steps' is {schedule.WarmupSteps}); "
                    + "the learning rate never reaches its peak"
            );
        }

        return recipe.Data.ValidationFile is not null
            ? recipe
            : recipe with
            {
                Training = training with { EvaluationStrategy = IntervalStrategy.No, EvaluationOnStart = false },
            };
    }

    /// <summary>Checks <c>sequence_parallel_size</c> against world size and model: it must divide the world size and
    /// the numbers of heads.</summary>
    /// <exception cref="InvalidDataException">It does not.</exception>
    public static void CheckRanks(Recipe recipe, ModelConfig config, int worldSize)
    {
        var size = recipe.Training.SequenceParallelSize;
        if (size == 1)
        {
            return;
        }

        if (worldSize % size != 0)
        {
            throw new InvalidDataException(
                $"'training_args.sequence_parallel_size' is {size}, but the run has {worldSize} "
                    + $"{(worldSize == 1 ? "rank" : "ranks")}; expected a divisor of {worldSize}. "
                    + $"Start {size} ranks or a multiple (--nproc-per-node {size}), or change the key."
            );
        }

        if (HeadExchange.Problem(config.Heads, size) is { } problem)
        {
            throw new InvalidDataException($"'training_args.sequence_parallel_size' is {size}: {problem}");
        }
    }

    /// <summary>Refuses a <c>dataloader_drop_last</c> that would drop every row.</summary>
    /// <exception cref="InvalidDataException">The rows do not fill a micro-batch.</exception>
    public static void CheckRows(Recipe recipe, int rows)
    {
        if (recipe.Batches.DropLast && rows < recipe.Training.MicroBatchSize)
        {
            throw new InvalidDataException(
                $"'training_args.dataloader_drop_last' is true, but the {rows} training rows do not fill a "
                    + $"micro-batch of {recipe.Training.MicroBatchSize} (per_device_train_batch_size): none would "
                    + "be used. Remove it, or make micro-batches smaller."
            );
        }
    }

    private static void Unevaluated(Recipe recipe, Section arguments)
    {
        var key = recipe.Training.EvaluationStrategy != IntervalStrategy.No ? "eval_strategy" : "eval_on_start";
        if (
            recipe.Training is
            { LoadBestModelAtEnd: false, EarlyStoppingPatience: null, SaveStrategy: not IntervalStrategy.Best }
        )
        {
            arguments.Note(key, $"'training_args.{key}' has no effect here: there is no data_config.val_file");
            return;
        }

        arguments.Problem(key, "the best checkpoint is requested, but there is no data_config.val_file; add one");
    }

    private static void CheckBestModel(TrainingOptions training, Section arguments, bool evaluates)
    {
        const string key = "load_best_model_at_end";
        if (!evaluates)
        {
            arguments.Problem(
                key,
                $"'training_args.{key}' is true, but 'training_args.eval_strategy' is no; set eval_strategy"
            );
        }
        else if (training.SaveStrategy != IntervalStrategy.Best && training.SaveStrategy != training.EvaluationStrategy)
        {
            arguments.Problem(
                key,
                $"'training_args.{key}' is true, but eval_strategy is {Word(training.EvaluationStrategy)} "
                    + $"and save_strategy is {Word(training.SaveStrategy)}; the best checkpoint must have been "
                    + "saved, so make them equal or use save_strategy: best"
            );
        }
        else if (
            training.SaveStrategy == IntervalStrategy.Steps
            && !IsMultiple(training.SaveSteps, training.EvaluationSteps ?? training.LoggingSteps)
        )
        {
            var every = training.EvaluationSteps ?? training.LoggingSteps;
            arguments.Problem(
                key,
                $"'training_args.{key}' is true, but save_steps ({Scalars.Write(training.SaveSteps.Value)}) "
                    + $"is not a multiple of eval_steps ({Scalars.Write(every.Value)}); saved checkpoints must "
                    + "have been evaluated"
            );
        }
    }

    private static bool IsMultiple(StepInterval save, StepInterval evaluate)
    {
        var times = save.Value / evaluate.Value;
        return (save.Value < 1) == (evaluate.Value < 1) && times > 0.5 && Math.Abs(times - Math.Round(times)) < 1e-9;
    }

    private static string Word(IntervalStrategy strategy) => Scalars.Write(strategy).ToLowerInvariant();
}
