using System.Globalization;
using GlmTune.Data.Templates;
using GlmTune.Recipes.Configuration;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>The settings that determine how a run continues, recorded with each checkpoint, so that a resumed run can
/// list what has changed.</summary>
/// <remarks>Settings that a resumed run refuses to change (those of the adapter), or reports in its own way (seed,
/// rows, template, ranks), are not among them; nor are settings that change only speed, memory or reports.</remarks>
internal static class RunSettings
{
    /// <summary>The settings in effect, as text, by the recipe's keys.</summary>
    /// <param name="recipe">The recipe, combined with its DeepSpeed file.</param>
    /// <param name="type">The type that layers compute in.</param>
    /// <param name="device">The device of this rank.</param>
    public static SortedDictionary<string, string> Of(Recipe recipe, ScalarType type, Device device)
    {
        var (training, optimizer, schedule, template) = (
            recipe.Training,
            recipe.Optimizer,
            recipe.Schedule,
            recipe.Data.Template
        );
        var settings = new SortedDictionary<string, string>(StringComparer.Ordinal);
        void Add(string key, IFormattable? value) =>
            settings[key] = value?.ToString(null, CultureInfo.InvariantCulture) ?? "null";
        void AddText(string key, string value) => settings[key] = value;

        Add("learning_rate", optimizer.LearningRate);
        Add("adam_beta1", optimizer.Beta1);
        Add("adam_beta2", optimizer.Beta2);
        Add("adam_epsilon", optimizer.Epsilon);
        Add("weight_decay", optimizer.WeightDecay);
        Add("max_grad_norm", optimizer.MaxGradientNorm);
        AddText("optimizer_state", StateSection.Word(optimizer.State.Moments));
        AddText("master_weights", optimizer.State.MasterWeights ? "float32" : "none");
        AddText("lr_scheduler_type", schedule.Kind.ToString());
        Add("warmup_steps", schedule.WarmupSteps);
        Add("warmup_ratio", schedule.WarmupRatio);
        Add("num_cycles", schedule.Cycles);
        Add("power", schedule.Power);
        Add("lr_end", schedule.EndLearningRate);
        Add("per_device_train_batch_size", training.MicroBatchSize);
        Add("gradient_accumulation_steps", training.AccumulationSteps);
        AddText("dataloader_drop_last", Text(training.DropLast));
        AddText("packing", Text(training.Packing == true));
        Add("pack_length", recipe.Batches.PackedTokens);
        AddText("dtype", type.ToString().ToLowerInvariant());
        AddText("fp8_base", Text(training.Fp8Base));
        AddText("quantization", training.Quantization.ToString().ToLowerInvariant());
        Add("data_seed", training.DataSeed ?? training.Seed);
        Add("max_input_length", template.MaxInputTokens);
        Add("max_output_length", template.MaxOutputTokens);
        AddText("combine", Text(template.SupervisedAnswers == SupervisedAnswers.Last));
        AddText("tool_calls", template.ToolCalls.ToString());
        if (recipe.Lora is { } lora)
        {
            Add("lora_dropout", lora.Dropout);
        }

        if (device.type == TorchSharp.DeviceType.CPU)
        {
            // Sums are split among threads, so their number changes the last bits.
            Add("threads", get_num_threads());
        }

        AddText("device", device.type.ToString().ToLowerInvariant());
        return settings;
    }

    /// <summary>The settings that differ, each as <c>key: old → new</c>. A key that only one of the two has is not
    /// compared.</summary>
    public static IReadOnlyList<string> Compare(
        IReadOnlyDictionary<string, string> old,
        IReadOnlyDictionary<string, string> now
    ) =>
        [
            .. now.Where(setting => old.TryGetValue(setting.Key, out var before) && before != setting.Value)
                .Select(setting => $"{setting.Key}: {old[setting.Key]} → {setting.Value}"),
        ];

    private static string Text(bool value) => value ? "true" : "false";
}
