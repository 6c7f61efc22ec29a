using System.Globalization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>What a merge came to.</summary>
/// <param name="Layout">Layout of the new folder.</param>
/// <param name="Type">Type of its weights.</param>
/// <param name="Agreement">How far the merged model's logits are from those of the adapter attached; null where there
/// was no adapter to merge.</param>
public sealed record MergeReport(CheckpointLayout Layout, ScalarType Type, MergeAgreement? Agreement);

/// <summary>Makes an adapter part of its base model and writes that as a model of its own; without an adapter, converts
/// a model.</summary>
/// <remarks>
/// The sum is made in float32 and rounded once to the type that is stored: small deltas would be lost in 16-bit sums.
/// Each merged weight is checked against the sum made in float64. Logits with the adapter attached are then compared
/// with those of the merged model, and with what rounding alone does to this model, before anything is written.
/// </remarks>
public static class MergeAdapter
{
    /// <summary>Loads, merges, compares, writes.</summary>
    /// <param name="path">The adapter and its base.</param>
    /// <param name="folder">A folder that is not there yet.</param>
    /// <param name="layout">Names of the tensors; null: those of the base.</param>
    /// <param name="type">Type to compute in and to store; null: the base's.</param>
    /// <param name="device">Where it is computed.</param>
    /// <exception cref="InvalidDataException">The adapter is a prefix, files do not fit, something is at
    /// <paramref name="folder"/>, or merged and attached answer differently; nothing was written.</exception>
    public static MergeReport Run(
        TunedPath path,
        string folder,
        CheckpointLayout? layout,
        ScalarType? type,
        Device device
    )
    {
        if (Directory.Exists(folder) || File.Exists(folder))
        {
            throw new InvalidDataException($"{folder}: already exists; a model is only written to a new folder.");
        }

        if (path.AdapterFolder is { } adapter && AdapterConfigFile.Read(adapter) is { Kind: not "LORA" } config)
        {
            throw new InvalidDataException(
                $"{config.Path}: a prefix cannot be merged, since it consists of keys and values that no "
                    + "weight of the model can represent; use it as an adapter. LoRA and DoRA can be merged."
            );
        }

        var stored = type ?? StoredType(path.ModelFolder);
        using var tuned = TunedModel.Load(path, stored, device);
        var agreement = tuned.Adapter is Lora lora ? Merge(tuned.Model, lora) : null;
        var names = layout ?? tuned.Model.Config.Layout;
        using var target = AtomicFolder.Create(folder);
        ModelFolder.Save(tuned.Model, target.Path, names, stored);
        ModelCompanions.Copy(path.ModelFolder, target.Path, names, names == tuned.Model.Config.Layout);
        target.Publish();
        return new MergeReport(names, stored, agreement);
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
                    "The model's logits are not numbers, with the adapter attached or merged: base or adapter hold "
                        + "numbers that are not finite, or overflow in this type. Nothing was written."
                )
            : throw new InvalidDataException(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"The merged model would answer otherwise than the base with the adapter attached: its logits are "
                        + $"off by {agreement.Difference:G2} of their norm, and rounding to {model.Type.ToString().ToLowerInvariant()} explains no more "
                        + $"than {agreement.Most:G2}. Nothing was written. Merge with --dtype float32, or serve the "
                        + $"adapter beside its base (glmtune serve MODEL --adapter NAME=FOLDER)."
                )
            );
    }

    private static ScalarType StoredType(string folder)
    {
        using var files = WeightFiles.Open(folder);
        return files.Tensors.First().Type switch
        {
            ElementType.BF16 => ScalarType.BFloat16,
            ElementType.F16 => ScalarType.Float16,
            _ => ScalarType.Float32,
        };
    }
}
