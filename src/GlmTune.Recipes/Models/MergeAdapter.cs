using System.Globalization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>The result of a merge.</summary>
/// <param name="Layout">Layout of the new folder.</param>
/// <param name="Type">Type of its weights.</param>
/// <param name="Agreement">How the logits of the merged model compare to those with the adapter attached; null if there
/// was no adapter to merge.</param>
public sealed record MergeReport(CheckpointLayout Layout, ScalarType Type, MergeAgreement? Agreement);

/// <summary>Merges an adapter into its base model and writes the result as a model; without an adapter, converts a
/// model.</summary>
/// <remarks>The sum is computed in float32 and rounded once to the stored type, because small deltas would be lost in
/// 16-bit sums. Each merged weight is checked against a float64 sum. Before anything is written, logits with the
/// adapter attached are compared with those of the merged model, and with the effect of rounding alone on this
/// model.</remarks>
public static class MergeAdapter
{
    /// <summary>Loads, merges, compares, and writes.</summary>
    /// <param name="path">The adapter and its base.</param>
    /// <param name="folder">Target folder; must not exist.</param>
    /// <param name="layout">Naming of the tensors; null: that of the base.</param>
    /// <param name="type">Type to compute in and to store; null: the base's.</param>
    /// <param name="device">Device to compute on.</param>
    /// <param name="note">Called with notes about the folders for the user.</param>
    /// <exception cref="InvalidDataException">The adapter is a prefix, files do not match, <paramref name="folder"/>
    /// exists, or merged and attached adapter give different answers. Nothing is written.</exception>
    internal static MergeReport Run(
        TunedPath path,
        string folder,
        CheckpointLayout? layout,
        ScalarType? type,
        Device device,
        Action<string>? note = null
    )
    {
        var report = new ProblemReport();
        report.Add(FindProblems(path, folder, layout, type));
        report.Throw();
        var stored = type ?? StoredType(path.ModelFolder);
        if (path.AdapterFolder is { } adapter && BaseCheck.RecordedQuantization(adapter) is { } quantization)
        {
            note?.Invoke(
                $"{adapter}: was trained on its base quantized to {quantization}; it is merged into the base's own "
                    + "weights, so answers can differ slightly from those on the quantized base"
            );
        }

        using var tuned = TunedModel.Load(path, stored, device, note, keepQuantized: false);
        var agreement = tuned.Adapter is Lora lora ? Merge(tuned.Model, lora) : null;
        var names = layout ?? tuned.Model.Config.Layout;
        using var target = AtomicFolder.Create(folder);
        ModelFolder.Save(tuned.Model, target.Path, names, stored);
        ModelCompanions.Copy(path.ModelFolder, target.Path, names, names == tuned.Model.Config.Layout);
        target.Publish();
        return new MergeReport(names, stored, agreement);
    }

    /// <summary>Finds what prevents a merge, without reading weights.</summary>
    /// <param name="path">The adapter and its base; null if they are unknown: then only the output is checked.</param>
    /// <param name="folder">The output folder, which must not exist.</param>
    /// <param name="layout">Names of the tensors; null: those of the base.</param>
    /// <param name="type">Type to store; null: the base's.</param>
    internal static IReadOnlyList<string> FindProblems(
        TunedPath? path,
        string folder,
        CheckpointLayout? layout,
        ScalarType? type
    )
    {
        var report = new ProblemReport();
        long bytes = 0;
        if (path is not null)
        {
            report.Try(() => CheckKind(path));
            report.Try(() => TunedModel.Check(path));
            report.Try(() =>
            {
                var config = ModelConfig.Read(path.ModelFolder);
                config.RequireLayout(layout ?? config.Layout);
                bytes = config.ParameterCount * (type ?? StoredType(path.ModelFolder)).ElementSize();
            });
        }

        report.Add(WriteProbe.FindProblemOfNewFolder(folder, bytes) is { } problem ? [problem] : []);
        return report.Problems;
    }

    /// <summary>Throws if the adapter is of a kind that cannot be merged.</summary>
    /// <param name="path">The adapter and its base.</param>
    /// <exception cref="InvalidDataException">It is a prefix.</exception>
    internal static void CheckKind(TunedPath path)
    {
        if (path.AdapterFolder is { } adapter && AdapterConfigFile.Read(adapter) is { Kind: not "LORA" } config)
        {
            throw new InvalidDataException(
                $"{config.Path}: a prefix cannot be merged, because it consists of keys and values that no "
                    + "weight of the model can represent; use it as an adapter. LoRA and DoRA can be merged."
            );
        }
    }

    private static MergeAgreement Merge(DecoderModel model, Lora lora)
    {
        using var scope = NewDisposeScope();
        var probe = new MergeProbe(model);
        lora.Merge(model);
        var agreement = probe.Compare();
        return agreement.IsRounding ? agreement
            : double.IsNaN(agreement.Difference)
                ? throw new InvalidDataException(
                    "The model's logits are not numbers, with the adapter attached or merged: base or "
                        + "adapter contain non-finite values, or values overflow in this type. Nothing was written."
                )
            : throw new InvalidDataException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"The merged model does not give the same answers as the base with the adapter attached: "
                        + $"its logits differ by {agreement.Difference:G2} of their norm, but rounding to "
                        + $"{model.Type.ToString().ToLowerInvariant()} explains at most {agreement.Tolerance:G2}. "
                        + $"Nothing was written. Merge with --dtype float32, or serve the adapter on its base "
                        + $"(glmtune serve MODEL --adapter NAME=FOLDER)."
                )
            );
    }

    private static ScalarType StoredType(string folder)
    {
        using var files = WeightFiles.Open(folder);
        return files.Tensors.First(tensor => tensor.Name.EndsWith("norm.weight", StringComparison.Ordinal)).Type switch
        {
            ElementType.BF16 => ScalarType.BFloat16,
            ElementType.F16 => ScalarType.Float16,
            _ => ScalarType.Float32,
        };
    }
}
