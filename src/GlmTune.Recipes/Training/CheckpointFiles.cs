using GlmTune.Checkpoints;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>Writes the files of a checkpoint that one rank contributes. Nothing here communicates with other ranks, so
/// it can run on any thread.</summary>
/// <param name="recipe">The recipe.</param>
/// <param name="inputs">Location of the tokenizer files, and name of the base model.</param>
/// <param name="baseFingerprint">Fingerprint of the base model; null: unknown.</param>
/// <param name="model">The model.</param>
/// <param name="trained">What is trained.</param>
internal sealed class CheckpointFiles(
    Recipe recipe,
    RunInputs inputs,
    string? baseFingerprint,
    DecoderModel model,
    TrainedWeights trained
)
{
    /// <summary>The type of stored weights.</summary>
    public ScalarType StoredType => model.Type == ScalarType.Float64 ? ScalarType.Float32 : model.Type;

    /// <summary>Writes a rank's optimizer state once rank 0's folder is visible here.</summary>
    /// <param name="path">The folder in which the checkpoint is built.</param>
    /// <param name="states">The state that the rank writes.</param>
    /// <param name="rank">Number of the rank.</param>
    /// <param name="ranks">Number of ranks.</param>
    /// <returns>Name and hash of the file: each rank reads its own, which is still cached. Empty if the rank has
    /// none.</returns>
    /// <exception cref="IOException">The disk fails.</exception>
    public string[] WriteOptimizer(string path, IReadOnlyList<ShardState> states, int rank, int ranks)
    {
        if (!AtomicFolder.WaitFor(path, patience: TimeSpan.FromSeconds(rank == 0 ? 0 : 60)))
        {
            throw new IOException(
                $"{path}: rank 0 created this folder, but this rank did not see it within a minute. With "
                    + "several machines, output_dir must be on a shared file system."
            );
        }

        return !recipe.Training.SaveOnlyModel && OptimizerFile.Write(path, states, rank, ranks) is { } name
            ? [name, FolderManifest.HashOf(Path.Combine(path, name))]
            : [];
    }

    /// <summary>Writes the adapter.</summary>
    /// <param name="path">The folder in which the checkpoint is built.</param>
    /// <param name="values">Returns the values of a parameter in full precision.</param>
    public void WriteAdapter(string path, Func<Parameter, Tensor> values) =>
        trained.SaveAdapter(path, inputs.ModelName, baseFingerprint, values);

    /// <summary>Starts writing the whole model.</summary>
    /// <param name="path">The folder in which the checkpoint is built.</param>
    public ModelWriter NewModelWriter(string path) => new(model, path, model.Config.Layout, StoredType);

    /// <summary>Writes the whole model.</summary>
    /// <param name="path">The folder in which the checkpoint is built.</param>
    /// <param name="values">Returns the values of a parameter.</param>
    public void WriteModel(string path, Func<Parameter, Tensor> values)
    {
        using var writer = NewModelWriter(path);
        foreach (var parameter in model.BaseParameters)
        {
            using var scope = NewDisposeScope();
            writer.Write(parameter, values(parameter));
        }

        writer.Complete();
    }

    /// <summary>Writes the model's configuration alone, where the weights are in the ranks' optimizer files.</summary>
    /// <param name="path">The folder in which the checkpoint is built.</param>
    public void WriteConfig(string path) =>
        ModelFolder.WriteConfig(model.Config, path, model.Config.Layout, StoredType);

    /// <summary>Writes everything else: tokenizer, state of the run and its log.</summary>
    /// <param name="path">The folder in which the checkpoint is built.</param>
    /// <param name="state">The state of the run.</param>
    /// <param name="history">Content of <c>trainer_state.json</c>.</param>
    public void WriteRest(string path, TrainingState state, string history)
    {
        if (TokenizerFile.IsIn(inputs.ModelFolder))
        {
            TokenizerFile.Copy(inputs.ModelFolder, path);
        }

        CopyIfThere("generation_config.json", path);
        if (!trained.IsAdapter)
        {
            // Other programs need the original layout's modeling code beside the weights; it is copied, never run.
            foreach (var code in Disk.Files(inputs.ModelFolder, "*.py"))
            {
                CopyIfThere(Path.GetFileName(code), path);
            }
        }

        state.Write(path);
        TrainerStateFile.Write(path, history);
    }

    private void CopyIfThere(string name, string folder)
    {
        var source = Path.Combine(inputs.ModelFolder, name);
        if (File.Exists(source))
        {
            AtomicFile.Copy(source, Path.Combine(folder, name));
        }
    }
}
