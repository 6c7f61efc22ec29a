using GlmTune.Files;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>What a merge came to.</summary>
/// <param name="Layout">Layout of the new folder.</param>
/// <param name="Type">Type of its weights.</param>
/// <param name="Difference">‖merged − attached‖ / ‖attached‖ of a probe's logits; null where there was no adapter to
/// merge.</param>
public sealed record MergeReport(CheckpointLayout Layout, ScalarType Type, double? Difference);

/// <summary>Makes an adapter part of its base model and writes that as a model of its own; without an adapter, converts
/// a model.</summary>
/// <remarks>
/// The sum is made in float32 and rounded once to the type that is stored: small deltas would be lost in 16-bit sums.
/// Logits with the adapter attached are compared with those of the merged model before anything is written. </remarks>
public static class MergeAdapter
{
    private const int ProbeTokens = 64;

    /// <summary>Loads, merges, compares, writes.</summary>
    /// <param name="path">The adapter and its base.</param>
    /// <param name="folder">A folder that is not there yet.</param>
    /// <param name="layout">Names of the tensors; null: those of the base.</param>
    /// <param name="type">Type to compute in and to store; null: the base's.</param>
    /// <param name="device">Where it is computed.</param>
    /// <exception cref="InvalidDataException">The adapter is a prefix, files do not fit, or something is at
    /// <paramref name="folder"/>.</exception>
    /// <exception cref="InvalidOperationException">Merged and attached answer differently; nothing was
    /// written.</exception>
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
        double? difference = tuned.Adapter is Lora lora ? Merge(tuned.Model, lora) : null;
        var names = layout ?? tuned.Model.Config.Layout;
        using var target = AtomicFolder.Create(folder);
        ModelFolder.Save(tuned.Model, target.Path, names, stored);
        ModelCompanions.Copy(path.ModelFolder, target.Path, names, names == tuned.Model.Config.Layout);
        target.Publish();
        return new MergeReport(names, stored, difference);
    }

    private static double Merge(DecoderModel model, Lora lora)
    {
        using var scope = NewDisposeScope();
        var attached = Probe(model);
        lora.Merge(model);
        var merged = Probe(model);
        var difference = ((merged - attached).norm() / attached.norm()).item<double>();
        // Rounding each merged weight once moves the logits of a 16-bit model by some thousandths; a wrong merge moves
        // them by far more.
        var most = model.Type is ScalarType.Float32 or ScalarType.Float64 ? 1e-3 : 0.05;
        return difference <= most
            ? difference
            : throw new InvalidOperationException(
                "The logits of the merged model differ from those with the adapter attached by "
                    + $"{difference:G3} of their norm; at most {most} was expected. Nothing was written."
            );
    }

    // The same tokens every time, from all over the vocabulary.
    private static Tensor Probe(DecoderModel model)
    {
        int[] ids = [.. Enumerable.Range(1, ProbeTokens).Select(i => (int)(i * 7919L % model.Config.VocabularySize))];
        return model.Logits(ids, SequenceLayout.OfRows(1, ids.Length, model.Device)).to_type(ScalarType.Float64);
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
