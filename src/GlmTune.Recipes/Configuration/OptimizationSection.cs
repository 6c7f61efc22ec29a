using GlmTune.Training.Optimization;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads the keys of <c>training_args</c> for optimizer and learning rate.</summary>
internal static class OptimizationSection
{
    public static OptimizerOptions ReadOptimizer(Section arguments)
    {
        var defaults = new OptimizerOptions();
        return new OptimizerOptions
        {
            LearningRate = arguments.Number("learning_rate", defaults.LearningRate, Bounds.NotNegative),
            Beta1 = arguments.Number("adam_beta1", defaults.Beta1, Bounds.ShareBelowOne),
            Beta2 = arguments.Number("adam_beta2", defaults.Beta2, Bounds.ShareBelowOne),
            Epsilon = arguments.Number("adam_epsilon", defaults.Epsilon, Bounds.Positive),
            WeightDecay = arguments.Number("weight_decay", defaults.WeightDecay, Bounds.NotNegative),
            State = StateSection.Read(arguments),
            MaxGradientNorm = arguments.Number("max_grad_norm", defaults.MaxGradientNorm, Bounds.NotNegative),
        };
    }

    public static ScheduleOptions ReadSchedule(Section arguments)
    {
        var defaults = new ScheduleOptions();
        var kind = arguments.Choice(
            "lr_scheduler_type",
            defaults.Kind,
            ("linear", ScheduleKind.Linear),
            ("cosine", ScheduleKind.Cosine),
            ("cosine_with_restarts", ScheduleKind.CosineWithRestarts),
            ("polynomial", ScheduleKind.Polynomial),
            ("constant", ScheduleKind.Constant),
            ("constant_with_warmup", ScheduleKind.ConstantWithWarmup)
        );
        var (steps, ratio) = Warmup(arguments);
        var details = arguments.Child("lr_scheduler_kwargs");
        var options = new ScheduleOptions
        {
            Kind = kind,
            WarmupSteps = steps,
            WarmupRatio = ratio,
            Cycles = details.NumberOrNull("num_cycles", Bounds.Positive, "0.5 for cosine, 1 for cosine_with_restarts"),
            Power = details.Number("power", defaults.Power, Bounds.Positive),
            EndLearningRate = details.Number("lr_end", defaults.EndLearningRate, Bounds.NotNegative),
        };
        OnlyFor(
            details,
            "num_cycles",
            kind is ScheduleKind.Cosine or ScheduleKind.CosineWithRestarts,
            "cosine and cosine_with_restarts"
        );
        OnlyFor(details, "power", kind is ScheduleKind.Polynomial, "polynomial");
        OnlyFor(details, "lr_end", kind is ScheduleKind.Polynomial, "polynomial");
        if (kind == ScheduleKind.CosineWithRestarts && options.Cycles is { } cycles && cycles != Math.Floor(cycles))
        {
            details.Problem(
                "num_cycles",
                $"'{details.Full("num_cycles")}' is {Scalars.Write(cycles)}; expected a whole number for "
                    + "cosine_with_restarts"
            );
        }

        details.End();
        return options;
    }

    /// <summary>Warm-up as steps or as a fraction; a number of steps below 1 is also a fraction.</summary>
    private static (int Steps, double Ratio) Warmup(Section arguments)
    {
        var ratio = arguments.Number("warmup_ratio", 0, Bounds.Share);
        var steps =
            arguments.Read(
                "warmup_steps",
                "0",
                "a whole number of steps, or a fraction of the run below 1",
                node =>
                    node is ConfigText text
                    && Scalars.TryNumber(text.Text, out var number)
                    && number is >= 0 and <= int.MaxValue
                    && (number < 1 || number == Math.Floor(number))
                        ? number
                        : (double?)null,
                new KeyShape(KeyKind.Number) { Least = 0 }
            ) ?? 0;
        if (steps > 0 && ratio > 0)
        {
            arguments.Note(
                "warmup_ratio",
                "'training_args.warmup_ratio' has no effect here: warmup_steps is set and takes precedence"
            );
        }

        return steps is > 0 and < 1 ? (0, steps) : ((int)steps, ratio);
    }

    private static void OnlyFor(Section details, string key, bool applies, string kinds)
    {
        if (!applies && details.IsWritten(key))
        {
            details.Problem(
                key,
                $"'{details.Full(key)}' requires lr_scheduler_type {kinds}; remove it or change the type"
            );
        }
    }
}
