using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Training.Checkpoints;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>Makes one whole model of a checkpoint whose weights are in the optimizer files of its ranks.</summary>
/// <remarks>Parameter by parameter, from float32 masters, rounded once; so it needs memory for the largest parameter
/// alone, and no GPU.</remarks>
public static class ConsolidateCheckpoint
{
    /// <summary>Reads, and writes a model folder with tokenizer.</summary>
    /// <param name="checkpoint">A checkpoint of a run that trained all weights, by any number of ranks and any
    /// stage.</param>
    /// <param name="folder">A folder that is not there yet.</param>
    /// <param name="layout">Names of the tensors; null: those of the checkpoint's config.json.</param>
    /// <param name="type">Type to store; null: the one that config.json names.</param>
    /// <returns>Layout and type of the new model.</returns>
    /// <exception cref="InvalidDataException">The checkpoint is damaged, is an adapter's or has no optimizer files, or
    /// something is at <paramref name="folder"/>.</exception>
    public static (CheckpointLayout Layout, ScalarType Type) Run(
        string checkpoint,
        string folder,
        CheckpointLayout? layout,
        ScalarType? type
    )
    {
        if (Directory.Exists(folder) || File.Exists(folder))
        {
            throw new InvalidDataException($"{folder}: already exists; a model is only written to a new folder.");
        }

        Check(checkpoint);
        FolderManifest.Verify(checkpoint);
        var config = ModelConfig.Read(checkpoint);
        var (names, stored) = (layout ?? config.Layout, type ?? NamedType(checkpoint));
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
                    + (WeightFiles.AreIn(checkpoint) ? "Its model.safetensors is already complete." : "")
            );
        }
    }

    private static ScalarType NamedType(string folder)
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, ModelConfig.FileName)))!;
        return (string?)(json["dtype"] ?? json["torch_dtype"]) switch
        {
            "float32" => ScalarType.Float32,
            "float16" => ScalarType.Float16,
            _ => ScalarType.BFloat16,
        };
    }
}
