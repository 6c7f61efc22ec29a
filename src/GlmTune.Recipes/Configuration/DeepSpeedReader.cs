using GlmTune.Training;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Configuration;

/// <summary>Converts a DeepSpeed configuration into options. Explicit values are compared with the recipe's;
/// <c>auto</c> and missing values are taken from the recipe.</summary>
/// <param name="recipe">The recipe that names the configuration.</param>
/// <param name="hiddenSize">The model's hidden size; null if not known yet, which skips checks that depend on
/// it.</param>
/// <param name="worldSize">Number of ranks; null if not known yet.</param>
internal sealed class DeepSpeedReader(Recipe recipe, int? hiddenSize, int? worldSize)
{
    private readonly DeepSpeedValues values = new(recipe);
    private StateOptions state = recipe.Optimizer.State;

    public DeepSpeedPlan Read(Section root)
    {
        BatchSizes(root);
        var planned = recipe with { Training = recipe.Training with { Precision = ReadPrecision(root) } };
        planned = planned with { Optimizer = planned.Optimizer with { State = state } };
        values.Match(root, "gradient_clipping", recipe.Optimizer.MaxGradientNorm, "max_grad_norm", saysAbsent: true);
        new DeepSpeedOptimization(recipe, values).ReadOptimizer(root);
        planned = planned with { Schedule = new DeepSpeedOptimization(recipe, values).ReadSchedule(root) };
        var sharding = new DeepSpeedZero(values, hiddenSize).Read(root);
        sharding = sharding with { Communication = Communication(root) };
        DeepSpeedForeignKeys.Read(root, values);
        values.EndFile(root);
        return new DeepSpeedPlan(planned, sharding, values.Settings);
    }

    private void BatchSizes(Section root)
    {
        var training = recipe.Training;
        values.Match(root, "train_micro_batch_size_per_gpu", training.MicroBatchSize, "per_device_train_batch_size");
        values.Match(root, "gradient_accumulation_steps", training.AccumulationSteps, "gradient_accumulation_steps");

        const string key = "train_batch_size";
        var perRank = (long)training.MicroBatchSize * training.AccumulationSteps;
        var written = root.WholeOrAuto(key, least: 1);
        if (written is { } size && (worldSize is { } ranks ? size != ranks * perRank : size % perRank != 0))
        {
            var found = worldSize is null
                ? $"which is not divisible by {perRank} rows per rank (per_device_train_batch_size × "
                    + "gradient_accumulation_steps)"
                : $"but {worldSize} ranks × per_device_train_batch_size {training.MicroBatchSize} × "
                    + $"gradient_accumulation_steps {training.AccumulationSteps} = {worldSize * perRank}";
            root.Problem(key, $"'{root.Full(key)}' is {size}, {found}; write \"auto\"");
        }

        values.Became(
            root,
            key,
            worldSize is null ? $"{perRank} × the number of ranks" : Scalars.Write(worldSize * perRank)
        );
    }

    private Precision ReadPrecision(Section root)
    {
        var half = root.Child("fp16");
        var isHalf = half.FlagOrAuto("enabled") is true;
        if (isHalf && !recipe.TakesBFloat16ForHalf)
        {
            half.Problem(
                "enabled",
                $"'{half.Full("enabled")}' is true, but float16 is not supported: it needs loss scaling; use bf16, or "
                    + "set training_args.fp16 to auto, which trains in bfloat16 instead (in float32 on a CPU)"
            );
        }

        values.Became(half, "enabled", isHalf ? "bfloat16 on a GPU, float32 on a CPU" : "false");
        foreach (
            var key in new[]
            {
                "loss_scale",
                "initial_scale_power",
                "loss_scale_window",
                "hysteresis",
                "consecutive_hysteresis",
                "min_loss_scale",
                "auto_cast",
                "fp16_master_weights_and_grads",
            }
        )
        {
            values.Nothing(half, key, "float16 is not supported, so there is no loss scaling");
        }

        values.End(half);
        root.Rename("bfloat16", "bf16");
        return BFloat16(root.Child("bf16"));
    }

    private Precision BFloat16(Section section)
    {
        const string key = "enabled";
        var precision = recipe.Training.Precision;
        var enabled = section.FlagOrAuto(key);
        var contradiction = (enabled, precision) switch
        {
            (true, Precision.Float32) => "'training_args.dtype' is float32",
            (true, Precision.Auto) when recipe.Written.Contains("training_args.bf16") =>
                "'training_args.bf16' is false",
            (false, Precision.BFloat16) => "the recipe asks for bfloat16 (bf16 or dtype)",
            _ => null,
        };
        if (contradiction is not null)
        {
            section.Problem(
                key,
                $"'{section.Full(key)}' is {Scalars.Write(enabled)}, but {contradiction}; make them equal or write "
                    + "\"auto\""
            );
        }

        var chosen = enabled is true ? Precision.BFloat16 : precision;
        values.Became(
            section,
            key,
            chosen switch
            {
                Precision.BFloat16 => "true: bfloat16 weights with float32 master weights",
                Precision.Float32 => "false: float32 weights",
                _ => "false: weights keep their type (bfloat16 on a GPU, float32 on a CPU) with float32 master "
                    + "weights",
            }
        );
        values.Nothing(
            section,
            "immediate_grad_update",
            "gradients are reduced layer by layer during the backward pass"
        );
        values.Nothing(section, "check_grad_overflow", "a gradient that is not finite always ends the run");
        ReadState(section);
        values.End(section);
        return chosen;
    }

    private void ReadState(Section section)
    {
        if (Asks("bf16_master_weights_and_grads", "master_weights", state.MasterWeights))
        {
            state = state with { MasterWeights = false };
        }

        if (Asks("bf16_optimizer_states", "optimizer_state", state.Moments != StateType.BFloat16))
        {
            state = state with { Moments = StateType.BFloat16 };
        }

        bool Asks(string key, string ours, bool differs)
        {
            var asks = values.Flag(section, key, false);
            if (asks && differs && recipe.Written.Contains($"training_args.{ours}"))
            {
                section.Problem(
                    key,
                    $"'{section.Full(key)}' is true, but 'training_args.{ours}' says otherwise; make them agree, or "
                        + "remove one"
                );
            }

            return asks;
        }
    }

    private CommunicationType Communication(Section root)
    {
        const string key = "communication_data_type";
        var type = root.Choice(
            key,
            CommunicationType.Auto,
            ("auto", CommunicationType.Auto),
            ("fp32", CommunicationType.Float32),
            ("bf16", CommunicationType.BFloat16),
            ("bfp16", CommunicationType.BFloat16)
        );
        type = root.Flag("fp32_allreduce", false) ? CommunicationType.Float32 : type;
        var became =
            type == CommunicationType.Auto
                ? "gradients are sent in their own type"
                : $"gradients are sent as {Scalars.Write(type).ToLowerInvariant()}";
        values.Became(root, key, became);
        values.Became(root, "fp32_allreduce", became);
        return type;
    }
}
