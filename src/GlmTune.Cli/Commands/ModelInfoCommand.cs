using System.CommandLine;
using System.Globalization;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model info</c>: prints configuration, sizes, and what an adapter trains.</summary>
internal static class ModelInfoCommand
{
    public static Command Create(Screen screen)
    {
        var (path, baseModel, json) = (Arguments.Tuned(), Arguments.Base(), Arguments.Json());
        var command = new Command("info", "Describe a model folder or an adapter folder without loading its weights.")
        {
            path,
            baseModel,
            json,
        };
        command.SetAction(given =>
        {
            var info = ModelInfo.Read(TunedPath.Resolve(given.GetRequiredValue(path), given.GetValue(baseModel)));
            if (given.GetValue(json))
            {
                screen.Output.WriteLine(JsonText.Of(AsJson(info)));
            }
            else
            {
                Write(screen.Lines, info);
            }

            foreach (var note in info.Notes)
            {
                screen.Error.WriteLine($"note: {note}");
            }

            foreach (var problem in info.Problems)
            {
                screen.Error.WriteLine(problem);
            }

            return info.Problems.Count == 0 ? ExitCode.Done : ExitCode.Users;
        });
        return command;
    }

    private static object AsJson(ModelInfo info) =>
        new
        {
            info.Folder,
            Layout = LayoutOption.NameOf(info.Config.Layout),
            Parameters = info.Config.ParameterCount,
            Quantization = info.Config.Stored?.Name,
            info.Config.LayerCount,
            info.Config.HiddenSize,
            info.Config.FeedForwardSize,
            info.Config.QueryHeads,
            info.Config.KeyValueHeads,
            info.Config.HeadDim,
            info.Config.VocabularySize,
            info.Config.RotaryBase,
            info.Config.NormEpsilon,
            info.Config.MaxPositions,
            info.Config.EndTokenIds,
            info.Config.PaddingTokenId,
            info.HasTokenizer,
            info.Weights,
            info.Problems,
            info.Notes,
            Adapter = info.Adapter is not { } adapter
                ? null
                : new
                {
                    adapter.Folder,
                    adapter.Kind,
                    Base = adapter.NamedBase,
                    adapter.Lora?.Rank,
                    adapter.Lora?.Alpha,
                    TargetModules = adapter.Lora?.TargetModules?.ToString(),
                    TrainableParameters = adapter.Weights?.Parameters,
                    adapter.Weights,
                },
        };

    private static void Write(TextWriter output, ModelInfo info)
    {
        void Line(FormattableString line) => output.WriteLine(line.ToString(CultureInfo.InvariantCulture));
        var config = info.Config;
        var layout = LayoutOption.NameOf(config.Layout);
        Line($"{info.Folder}: {config.Title}, {layout} layout, {config.ParameterCount:N0} parameters");
        var heads = $"{config.QueryHeads} heads of {config.HeadDim} in {config.KeyValueHeads} groups";
        var sizes = $"hidden size {config.HiddenSize}, feed-forward {config.FeedForwardSize}";
        Line($"  {config.LayerCount} layers, {sizes}, {heads}");
        var (positions, ends) = (config.MaxPositions, string.Join(", ", config.EndTokenIds));
        var rotary = string.Create(CultureInfo.InvariantCulture, $"rotary base {config.RotaryBase}");
        Line($"  vocabulary {config.VocabularySize}, up to {positions} positions, {rotary}, end tokens {ends}");
        if (config.Stored is { } stored)
        {
            Line($"  quantized by {stored}");
        }

        Line($"  weights: {Describe(info.Weights)}; tokenizer: {(info.HasTokenizer ? "present" : "missing")}");
        if (info.Adapter is { } adapter)
        {
            Line($"{adapter.Folder}: adapter {adapter.Kind} of {adapter.NamedBase ?? "an unnamed base model"}");
            if (adapter.Lora is { } lora)
            {
                var targets = lora.TargetModules?.ToString() ?? "the layout's default layers";
                var kinds = $"{(lora.UseRsLora ? ", rsLoRA" : "")}{(lora.UseDora ? ", DoRA" : "")}";
                Line($"  rank {lora.Rank}, alpha {lora.Alpha}, dropout {lora.Dropout}, on {targets}{kinds}");
            }

            var share = adapter.Weights is { } weights
                ? string.Create(
                    CultureInfo.InvariantCulture,
                    $", {100.0 * weights.Parameters / config.ParameterCount:F4} % of the model's"
                )
                : "";
            Line($"  weights: {Describe(adapter.Weights)}{share}");
        }
    }

    private static string Describe(WeightSummary? weights) =>
        weights is null
            ? "none"
            : string.Create(
                CultureInfo.InvariantCulture,
                $"{weights.Parameters:N0} parameters in {weights.Tensors} tensors, {weights.Bytes / 1e6:N1} "
                    + $"MB, {string.Join(", ", weights.Types)}, {weights.Files} "
                    + $"{(weights.Files == 1 ? "file" : "files")}"
            );
}
