using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Training.Checkpoints;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>Builds a complete model from a checkpoint whose weights are in the optimizer files of its ranks.</summary>
/// <remarks>Works parameter by parameter from the float32 master weights, rounded once. It needs memory for the largest
/// parameter only, and no GPU.</remarks>
public static class ConsolidateCheckpoint
{
    /// <summary>Writes a model folder with weights and tokenizer.</summary>
    /// <param name="checkpoint">A checkpoint of a run that trained all weights, with any world size and ZeRO
    /// stage.</param>
    /// <param name="folder">Target folder; must not exist.</param>
    /// <param name="layout">Naming of the tensors; null: as in the checkpoint's config.json.</param>
    /// <param name="type">Type to store; null: the one in config.json.</param>
    /// <returns>Layout and type of the new model.</returns>
    /// <exception cref="InvalidDataException">The checkpoint is damaged, is an adapter's, or has no optimizer files; or
    /// <paramref name="folder"/> exists.</exception>
    public static (CheckpointLayout Layout, ScalarType Type) Run(
        string checkpoint,
        string folder,
        CheckpointLayout? layout,
        ScalarType? type
    )
    {
        var report = new ProblemReport();
        report.Try(() => Check(checkpoint));
        var config = report.IsEmpty ? report.Try(() => ModelConfig.Read(checkpoint)) : null;
        var stored = type ?? (config is null ? ScalarType.BFloat16 : NamedType(checkpoint));
        report.Add(
            WriteProbe.FindProblemOfNewFolder(folder, (config?.ParameterCount ?? 0) * stored.ElementSize())
                is { } problem
                ? [problem]
                : []
        );
        report.Throw();
        FolderManifest.Verify(checkpoint);
        var names = layout ?? config!.Layout;
        config!.RequireLayout(names);
        using var model = config.NewModel(ScalarType.Float32, CPU);
        using var target = AtomicFolder.Create(folder);
        using (var writer = new ModelWriter(model, target.Path, names, stored))
        {
            OptimizerFile.ReadMasters(checkpoint, model.BaseParameters, writer.Write);
            writer.Complete();
        }

        ModelCompanions.Copy(checkpoint, target.Path, names, names == config.Layout);
        target.Publish();
        return (names, stored);
    }

    private static void Check(string checkpoint)
    {
        if (!Directory.Exists(checkpoint))
        {
            throw new InvalidDataException(
                $"{checkpoint}: folder not found; expected a checkpoint such as output/checkpoint-500."
            );
        }

        if (AdapterConfigFile.IsIn(checkpoint))
        {
            throw new InvalidDataException(
                $"{checkpoint}: contains an adapter, which is always complete; use glmtune merge to combine "
                    + "it with its base model."
            );
        }

        if (!OptimizerFile.IsIn(checkpoint))
        {
            throw new InvalidDataException(
                $"{checkpoint}: has no optimizer files (optimizer-…-of-….safetensors) to build the weights from."
                    + (WeightFiles.AreIn(checkpoint) ? " Its model.safetensors is already complete." : "")
            );
        }
    }

    private static ScalarType NamedType(string folder)
    {
        var json = JsonFile.ReadObject(Path.Combine(folder, ModelConfig.FileName));
        var named =
            json.TryGetProperty("dtype", out var newer) ? newer
            : json.TryGetProperty("torch_dtype", out var older) ? older
            : default;
        return (named.ValueKind == JsonValueKind.String ? named.GetString() : null) switch
        {
            "float32" => ScalarType.Float32,
            "float16" => ScalarType.Float16,
            _ => ScalarType.BFloat16,
        };
    }
}
