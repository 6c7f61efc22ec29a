using GlmTune.Training;
using GlmTune.Training.Sentinel;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads the keys of <c>training_args</c> that control the run.</summary>
internal static class TrainingSection
{
    private static readonly string[] Metrics = ["loss", "perplexity", "rouge-1", "rouge-2", "rouge-l", "bleu-4"];

    private static readonly (string, IntervalStrategy)[] Strategies =
    [
        ("no", IntervalStrategy.No),
        ("false", IntervalStrategy.No),
        ("steps", IntervalStrategy.Steps),
        ("epoch", IntervalStrategy.Epoch),
    ];

    public static TrainingOptions Read(Section root, Section arguments)
    {
        var defaults = new TrainingOptions();
        arguments.Rename("evaluation_strategy", "eval_strategy");
        arguments.Rename("per_gpu_train_batch_size", "per_device_train_batch_size");
        arguments.Rename("per_gpu_eval_batch_size", "per_device_eval_batch_size");
        var packLength = arguments.IntOrNull(
            "pack_length",
            least: 2,
            most: 1 << 24,
            fallback: "per_device_train_batch_size × longest row"
        );
        return new TrainingOptions
        {
            OutputFolder = arguments.FilePath("output_dir", defaults.OutputFolder)!,
            OverwriteOutputFolder = arguments.Flag("overwrite_output_dir", defaults.OverwriteOutputFolder),
            MicroBatchSize = arguments.Int(
                "per_device_train_batch_size",
                defaults.MicroBatchSize,
                least: 1,
                most: 1 << 20
            ),
            EvaluationBatchSize = arguments.Int(
                "per_device_eval_batch_size",
                defaults.EvaluationBatchSize,
                least: 1,
                most: 1 << 20
            ),
            AccumulationSteps = arguments.Int(
                "gradient_accumulation_steps",
                defaults.AccumulationSteps,
                least: 1,
                most: 1 << 20
            ),
            DropLast = arguments.Flag("dataloader_drop_last", defaults.DropLast),
            MaxSteps = MaxSteps(arguments),
            Epochs = arguments.Number("num_train_epochs", defaults.Epochs, Bounds.Positive),
            Seed = arguments.Int("seed", defaults.Seed),
            DataSeed = arguments.IntOrNull("data_seed", fallback: "`seed`"),
            Precision = ReadPrecision(arguments),
            Fp8Base = arguments.Flag("fp8_base", defaults.Fp8Base),
            Quantization = ReadQuantization(root, arguments),
            OffloadEmbedding = arguments.Flag("offload_embedding", defaults.OffloadEmbedding),
            OffloadActivations = arguments.Flag("offload_activations", defaults.OffloadActivations),
            OffloadOptimizer = arguments.Flag("offload_optimizer", defaults.OffloadOptimizer),
            OffloadParameters = arguments.Flag("offload_param", defaults.OffloadParameters),
            MemoryProbe = arguments.Flag("memory_probe", defaults.MemoryProbe),
            Fit = arguments.Flag("fit", defaults.Fit),
            Recompute = arguments.Choice(
                "gradient_checkpointing",
                defaults.Recompute,
                ("auto", RecomputeMode.Auto),
                ("true", RecomputeMode.All),
                ("false", RecomputeMode.None),
                ("all", RecomputeMode.All),
                ("none", RecomputeMode.None),
                ("cheap", RecomputeMode.Selective),
                ("yes", RecomputeMode.All),
                ("no", RecomputeMode.None),
                ("on", RecomputeMode.All),
                ("off", RecomputeMode.None)
            ),
            Packing = arguments.FlagOrAuto("packing") ?? (packLength is null ? null : true),
            PackLength = packLength,
            CudaGraphs = arguments.Flag("cuda_graphs", defaults.CudaGraphs),
            SequenceParallelSize = arguments.Int(
                "sequence_parallel_size",
                defaults.SequenceParallelSize,
                least: 1,
                most: 1 << 16
            ),
            UseCpu = arguments.Flag("use_cpu", defaults.UseCpu) | arguments.Flag("no_cuda", false),
            LoggingStrategy = Strategy(arguments, "logging_strategy", defaults.LoggingStrategy, Strategies),
            LoggingSteps =
                Interval(arguments, "logging_steps", Scalars.Write(defaults.LoggingSteps.Value))
                ?? defaults.LoggingSteps,
            LoggingFirstStep = arguments.Flag("logging_first_step", defaults.LoggingFirstStep),
            TensorBoard = ReportsToTensorBoard(arguments),
            TensorBoardFolder = arguments.FilePath("logging_dir"),
            EvaluationStrategy = Strategy(arguments, "eval_strategy", defaults.EvaluationStrategy, Strategies),
            EvaluationSteps = Interval(arguments, "eval_steps", "`logging_steps`"),
            EvaluationDelay = arguments.Number("eval_delay", defaults.EvaluationDelay, Bounds.NotNegative),
            EvaluationOnStart = arguments.Flag("eval_on_start", defaults.EvaluationOnStart),
            PredictWithGenerate = arguments.Flag("predict_with_generate", defaults.PredictWithGenerate),
            SaveStrategy = Strategy(
                arguments,
                "save_strategy",
                defaults.SaveStrategy,
                [.. Strategies, ("best", IntervalStrategy.Best)]
            ),
            SaveSteps =
                Interval(arguments, "save_steps", Scalars.Write(defaults.SaveSteps.Value)) ?? defaults.SaveSteps,
            SaveTotalLimit = arguments.IntOrNull("save_total_limit", least: -1) is { } limit and > 0 ? limit : null,
            SaveRetry = TimeSpan.FromSeconds(
                arguments.Int("save_retry_seconds", (int)defaults.SaveRetry.TotalSeconds, least: 0)
            ),
            NonFinitePolicy = Policy(arguments, "nonfinite_policy", defaults.NonFinitePolicy),
            SpikePolicy = Policy(arguments, "spike_policy", defaults.SpikePolicy),
            SpikeFactor = SpikeFactor(arguments),
            SpikeWindow = arguments.Int("spike_window", defaults.SpikeWindow, least: 4, most: 1 << 16),
            MaxRewinds = arguments.Int("max_rewinds", defaults.MaxRewinds, least: 0),
            SaveAsync = arguments.Flag("save_async", defaults.SaveAsync),
            SaveOnlyModel = arguments.Flag("save_only_model", defaults.SaveOnlyModel),
            LoadBestModelAtEnd = arguments.Flag("load_best_model_at_end", defaults.LoadBestModelAtEnd),
            MetricForBestModel = Metric(arguments),
            GreaterIsBetter = arguments.FlagOrNull("greater_is_better"),
            EarlyStoppingPatience = arguments.IntOrNull("early_stopping_patience", least: 1),
            EarlyStoppingThreshold = arguments.Number(
                "early_stopping_threshold",
                defaults.EarlyStoppingThreshold,
                Bounds.NotNegative
            ),
            CollectiveTimeout = TimeSpan.FromSeconds(
                arguments.Int("ddp_timeout", (int)defaults.CollectiveTimeout.TotalSeconds, least: 1)
            ),
            StallTimeout = TimeSpan.FromSeconds(
                arguments.Int("stall_timeout", (int)defaults.StallTimeout.TotalSeconds, least: 0)
            ),
        };
    }

    /// <summary>Whether <c>fp16</c> is <c>auto</c>, in which case bfloat16 is used.</summary>
    public static bool AsksForHalf(Section arguments) => arguments.IsAuto("fp16", "false");

    // A plain yes selects the intervals given by the other keys.
    private static IntervalStrategy Strategy(
        Section arguments,
        string key,
        IntervalStrategy fallback,
        params IReadOnlyList<(string, IntervalStrategy)> choices
    )
    {
        if (arguments.Peek(key) is ConfigText text && Scalars.TryFlag(text.Text, out var flag) && flag)
        {
            var words = string.Join(", ", choices.Select(choice => choice.Item1));
            arguments.Node(key, Scalars.Write(fallback).ToLowerInvariant());
            arguments.Problem(
                key,
                $"'{arguments.Full(key)}' is '{text.Text}'; expected one of {words}; did you mean 'steps'?"
            );
            return fallback;
        }

        return arguments.Choice(key, fallback, choices);
    }

    private static BadStepPolicy Policy(Section arguments, string key, BadStepPolicy fallback) =>
        arguments.Choice(
            key,
            fallback,
            ("stop", BadStepPolicy.Stop),
            ("skip", BadStepPolicy.Skip),
            ("rewind", BadStepPolicy.Rewind)
        );

    private static double SpikeFactor(Section arguments)
    {
        const string Key = "spike_factor";
        var factor = arguments.Number(Key, 0, Bounds.NotNegative);
        if (factor is > 0 and <= 1)
        {
            arguments.Problem(
                Key,
                $"'training_args.{Key}' is {Scalars.Write(factor)}; expected a number above 1, such as 10, or 0 to "
                    + "look for no spikes"
            );
        }

        return factor;
    }

    private static int? MaxSteps(Section arguments)
    {
        var steps = arguments.Int("max_steps", -1, least: -1);
        if (steps == 0)
        {
            arguments.Problem(
                "max_steps",
                "'training_args.max_steps' is 0; expected at least 1, or -1 to count epochs instead"
            );
        }

        return steps > 0 ? steps : null;
    }

    // At the top, or among the other keys of memory.
    private static BaseQuantization ReadQuantization(Section root, Section arguments)
    {
        const string Key = "quantization";
        (string, BaseQuantization)[] choices =
        [
            ("none", BaseQuantization.None),
            ("nf4", BaseQuantization.Nf4),
            ("int8", BaseQuantization.Int8),
        ];
        var above = root.Choice(Key, BaseQuantization.None, choices);
        var below = arguments.Choice(Key, above, choices);
        if (above != BaseQuantization.None && below != above)
        {
            arguments.Problem(
                Key,
                $"'training_args.{Key}' and '{Key}' differ: "
                    + $"{below.ToString().ToLowerInvariant()} and {above.ToString().ToLowerInvariant()}; remove one "
                    + "of them"
            );
        }

        return below;
    }

    private static Precision ReadPrecision(Section arguments)
    {
        if (arguments.FlagOrAuto("fp16", "false") is true)
        {
            arguments.Problem(
                "fp16",
                "'training_args.fp16' is not supported: float16 needs loss scaling; use bf16: true, fp16: auto "
                    + "(bfloat16 on a GPU, float32 on a CPU), or dtype: float32 if the GPU does not support bfloat16"
            );
        }
        else if (AsksForHalf(arguments))
        {
            arguments.Note(
                "fp16",
                "'training_args.fp16' is auto: the run computes in bfloat16 on a GPU and in float32 on a CPU"
            );
        }

        var bf16 = arguments.Flag("bf16", false);
        var precision = arguments.Choice(
            "dtype",
            Precision.Auto,
            ("auto", Precision.Auto),
            ("float32", Precision.Float32),
            ("fp32", Precision.Float32),
            ("bfloat16", Precision.BFloat16),
            ("bf16", Precision.BFloat16)
        );
        if (bf16 && precision == Precision.Float32)
        {
            arguments.Problem("bf16", "'training_args.bf16' is true, but 'training_args.dtype' is float32; remove one");
        }

        return bf16 && precision == Precision.Auto ? Precision.BFloat16 : precision;
    }

    // A name or a list of names, as in the original library. Tracking services are not supported, which deserves a
    // note.
    private static bool ReportsToTensorBoard(Section arguments)
    {
        const string Key = "report_to";
        if (arguments.Node(Key, "tensorboard", KeyKind.List) is not { } node)
        {
            return true;
        }

        var names = node switch
        {
            ConfigText text => [text.Text],
            ConfigList list when list.Items.All(item => item is ConfigText) => list
                .Items.Select(item => ((ConfigText)item).Text)
                .ToArray(),
            _ => arguments.Wrong<string[]>(Key, node, "tensorboard, none, or a list of names") ?? [],
        };
        if (
            names.FirstOrDefault(name => name.ToUpperInvariant() is not ("TENSORBOARD" or "NONE" or "ALL")) is { } other
        )
        {
            arguments.Note(
                Key,
                $"'{arguments.Full(Key)}' names '{other}', which is not supported; TensorBoard files are "
                    + "written for tensorboard and all"
            );
        }

        return names.Any(name => name.ToUpperInvariant() is "TENSORBOARD" or "ALL");
    }

    private static StepInterval? Interval(Section arguments, string key, string fallback)
    {
        var value = arguments.Read(
            key,
            fallback,
            "a whole number of steps, or a fraction of the run between 0 and 1",
            node =>
                node is ConfigText text
                && Scalars.TryNumber(text.Text, out var number)
                && (number is > 0 and < 1 || (number is >= 1 and <= int.MaxValue && number == Math.Floor(number)))
                    ? number
                    : (double?)null,
            new KeyShape(KeyKind.Number) { Least = 0 }
        );
        return value is { } interval ? new StepInterval(interval) : null;
    }

    private static string? Metric(Section arguments)
    {
        if (arguments.Text("metric_for_best_model") is not { } written)
        {
            return null;
        }

        var name = written.StartsWith("eval_", StringComparison.Ordinal) ? written["eval_".Length..] : written;
        if (!Metrics.Contains(name))
        {
            var hint = Suggestion.Text(name, Metrics);
            arguments.Problem(
                "metric_for_best_model",
                $"'training_args.metric_for_best_model' is '{written}'; expected one of "
                    + $"{string.Join(", ", Metrics)}{hint}"
            );
            return null;
        }

        return name;
    }
}
