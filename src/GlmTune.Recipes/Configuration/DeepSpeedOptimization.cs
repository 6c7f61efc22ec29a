using GlmTune.Training.Optimization;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads <c>optimizer</c> and <c>scheduler</c> of a DeepSpeed configuration.</summary>
internal sealed class DeepSpeedOptimization(Recipe recipe, DeepSpeedValues values)
{
    private static readonly Dictionary<string, ScheduleKind> Kinds = new(StringComparer.OrdinalIgnoreCase)
    {
        ["WarmupLR"] = ScheduleKind.ConstantWithWarmup,
        ["WarmupDecayLR"] = ScheduleKind.Linear,
        ["WarmupCosineLR"] = ScheduleKind.Cosine,
    };

    public void ReadOptimizer(Section root)
    {
        var section = root.Child("optimizer");
        section.Choice("type", "AdamW", ("AdamW", "AdamW"), ("Adam", "AdamW"));
        values.Became(section, "type", "AdamW");
        var parameters = section.Child("params");
        var options = recipe.Optimizer;
        values.Match(parameters, "lr", options.LearningRate, "learning_rate");
        values.Match(parameters, "eps", options.Epsilon, "adam_epsilon");
        values.Match(parameters, "weight_decay", options.WeightDecay, "weight_decay");
        Betas(parameters);
        foreach (var key in new[] { "adam_w_mode", "bias_correction" })
        {
            if (parameters.FlagOrAuto(key, "true") is false && (key == "bias_correction" || options.WeightDecay > 0))
            {
                parameters.Problem(
                    key,
                    $"'{parameters.Full(key)}' is false, which is not supported: the optimizer is AdamW; remove it"
                );
            }

            values.Became(parameters, key, "true");
        }

        values.NotSupported(parameters, "amsgrad", "the optimizer is AdamW; remove it");
        values.Nothing(parameters, "torch_adam", "there is only one AdamW implementation");
        values.Nothing(parameters, "fused", "there is only one AdamW implementation");
        values.End(parameters);
        values.Nothing(section, "legacy_fusion", "there is only one AdamW implementation");
        values.End(section);
    }

    /// <summary>The recipe's schedule, or that of the DeepSpeed file if the recipe does not set one.</summary>
    public ScheduleOptions ReadSchedule(Section root)
    {
        var section = root.Child("scheduler");
        var schedule = recipe.Schedule with { Kind = Kind(section) };
        var parameters = section.Child("params");
        schedule = Warmup(parameters, schedule);
        values.Match(parameters, "warmup_max_lr", recipe.Optimizer.LearningRate, "learning_rate");
        foreach (var key in new[] { "warmup_min_lr", "warmup_min_ratio", "cos_min_ratio" })
        {
            if (parameters.NumberOrAuto(key, "0") is > 0 and var least)
            {
                parameters.Problem(
                    key,
                    $"'{parameters.Full(key)}' is {Scalars.Write(least)}, which is not supported: the "
                        + "learning rate starts and ends at 0; write 0"
                );
            }

            values.Became(parameters, key, "0");
        }

        TotalSteps(parameters);
        values.Nothing(parameters, "last_batch_iteration", "a resumed run knows its step");
        values.End(parameters);
        values.End(section);
        return schedule;
    }

    private ScheduleKind Kind(Section section)
    {
        const string key = "type";
        var said = recipe.Schedule.Kind;
        if (section.Text(key) is not { } type)
        {
            return said;
        }

        if (!Kinds.TryGetValue(type, out var kind))
        {
            var hint = Suggestion.Text(type, Kinds.Keys);
            section.Problem(
                key,
                $"'{section.Full(key)}' is '{type}'; expected one of {string.Join(", ", Kinds.Keys)}, or no "
                    + $"scheduler{hint}"
            );
        }
        else if (kind != said && recipe.Written.Contains("training_args.lr_scheduler_type"))
        {
            section.Problem(
                key,
                $"'{section.Full(key)}' is '{type}', but 'training_args.lr_scheduler_type' is {Word(said)}; "
                    + "make them match or remove one"
            );
        }

        values.Became(section, key, $"lr_scheduler_type {Word(kind)}");
        return kind;
    }

    private static string Word(ScheduleKind kind) =>
        kind switch
        {
            ScheduleKind.ConstantWithWarmup => "constant_with_warmup",
            ScheduleKind.CosineWithRestarts => "cosine_with_restarts",
            _ => Scalars.Write(kind).ToLowerInvariant(),
        };

    private ScheduleOptions Warmup(Section parameters, ScheduleOptions schedule)
    {
        const string key = "warmup_num_steps";
        if (parameters.WholeOrAuto(key, "`training_args.warmup_steps`") is { } steps)
        {
            var isWritten =
                recipe.Written.Contains("training_args.warmup_steps")
                || recipe.Written.Contains("training_args.warmup_ratio");
            if (isWritten && (steps != schedule.WarmupSteps || schedule is { WarmupSteps: 0, WarmupRatio: > 0 }))
            {
                var said =
                    schedule.WarmupSteps > 0 || schedule.WarmupRatio == 0
                        ? $"'training_args.warmup_steps' is {schedule.WarmupSteps}"
                        : $"'training_args.warmup_ratio' is {Scalars.Write(schedule.WarmupRatio)}";
                parameters.Problem(
                    key,
                    $"'{parameters.Full(key)}' is {steps}, but {said}; make them equal or write \"auto\""
                );
            }

            schedule = schedule with { WarmupSteps = (int)Math.Min(steps, int.MaxValue), WarmupRatio = 0 };
        }

        values.Became(
            parameters,
            key,
            schedule is { WarmupSteps: 0, WarmupRatio: > 0 }
                ? $"{Scalars.Write(schedule.WarmupRatio)} of all steps"
                : Scalars.Write(schedule.WarmupSteps)
        );
        var isLinear = parameters.Choice("warmup_type", true, ("linear", true), ("log", false));
        if (!isLinear && schedule is not { WarmupSteps: 0, WarmupRatio: 0 })
        {
            parameters.Problem(
                "warmup_type",
                $"'{parameters.Full("warmup_type")}' is 'log', which is not supported; write linear"
            );
        }

        values.Became(parameters, "warmup_type", "linear");
        return schedule;
    }

    private void TotalSteps(Section parameters)
    {
        const string key = "total_num_steps";
        var steps = recipe.Training.MaxSteps;
        if (parameters.WholeOrAuto(key, "`training_args.max_steps`") is { } total && total != steps)
        {
            var said = steps is null ? "the run is measured in epochs" : $"'training_args.max_steps' is {steps}";
            parameters.Problem(
                key,
                $"'{parameters.Full(key)}' is {total}, but {said}; make them equal or write \"auto\""
            );
        }

        values.Became(parameters, key, steps is null ? "the steps of all epochs" : Scalars.Write(steps));
    }

    private void Betas(Section parameters)
    {
        const string key = "betas";
        var (beta1, beta2) = (recipe.Optimizer.Beta1, recipe.Optimizer.Beta2);
        if (!parameters.IsAuto(key, "`training_args.adam_beta1`, `adam_beta2`") && parameters.Node(key) is { } node)
        {
            var numbers = (node as ConfigList)
                ?.Items.Select(item =>
                    item is ConfigText text && Scalars.TryNumber(text.Text, out var value) ? value : double.NaN
                )
                .ToList();
            if (numbers is not [>= 0 and < 1, >= 0 and < 1])
            {
                parameters.Wrong<object>(key, node, "two numbers from 0 to below 1, or \"auto\"");
            }
            else if (numbers[0] != beta1 || numbers[1] != beta2)
            {
                parameters.Problem(
                    key,
                    $"'{parameters.Full(key)}' is [{Scalars.Write(numbers[0])}, {Scalars.Write(numbers[1])}], but "
                        + $"'training_args.adam_beta1' is {Scalars.Write(beta1)} and 'adam_beta2' is "
                        + $"{Scalars.Write(beta2)}; make them equal or write \"auto\""
                );
            }
        }

        values.Became(parameters, key, $"[{Scalars.Write(beta1)}, {Scalars.Write(beta2)}]");
    }
}
