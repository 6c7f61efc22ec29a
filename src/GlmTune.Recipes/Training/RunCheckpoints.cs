using GlmTune.Checkpoints;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>Writes a run's checkpoints (weights, tokenizer, optimizer and state) under a temporary name, renames them,
/// and then removes old ones.</summary>
/// <remarks>Each rank writes its slices of the optimizer state, rank 0 everything else: the weights arrive layer by
/// layer as they are gathered. The folder gets its final name after the files of all ranks are on disk. If one rank
/// fails, all do, and the folder is removed.</remarks>
/// <param name="recipe">The recipe, which names the output folder and the number of checkpoints to keep.</param>
/// <param name="inputs">Id of the run, location of the tokenizer files, name of the base model, and what is
/// sharded.</param>
/// <param name="baseFingerprint">Fingerprint of the base model; null: unknown.</param>
/// <param name="model">The model.</param>
/// <param name="trained">What is trained.</param>
/// <param name="trainer">The trainer.</param>
/// <param name="ranks">The ranks, which all use the same output folder.</param>
/// <param name="note">Called on rank 0 for leftovers of older checkpoints or interrupted attempts that could not be
/// removed.</param>
internal sealed class RunCheckpoints(
    Recipe recipe,
    RunInputs inputs,
    string? baseFingerprint,
    DecoderModel model,
    TrainedWeights trained,
    Trainer trainer,
    RunRanks ranks,
    Action<string> note
)
{
    /// <summary>Whether a checkpoint contains the weights as a model or adapter that other programs can read.</summary>
    /// <remarks>Otherwise they are only in the ranks' optimizer files, from which <c>glmtune checkpoint consolidate</c>
    /// builds a model. Adapters are always gathered, because they are small, and so are weights that would otherwise
    /// not be in the checkpoint at all.</remarks>
    public bool HasWholeWeights =>
        trained.IsAdapter
        || inputs.Plan.Sharding is { Stage: < 3 } or { GatherWeightsOnSave: true }
        || recipe.Training.SaveOnlyModel;

    /// <summary>Writes the checkpoint of the step that has just finished, replacing an existing one.</summary>
    /// <returns>Path of the checkpoint.</returns>
    public string Write(TrainingState state, TrainerStateFile history, int epochs)
    {
        var target = CheckpointFolder.PathOf(recipe.Training.OutputFolder, state.Step);
        AtomicFolder? folder = null;
        try
        {
            ranks.RunOnAllOrFail(() =>
            {
                if (ranks.IsFirst)
                {
                    Disk.CreateFolder(recipe.Training.OutputFolder);
                    folder = AtomicFolder.Create(target, inputs.Run);
                }
            });
            var path = AtomicFolder.TemporaryPath(target, inputs.Run);
            var hashes = ranks.FromAll(ranks.RunOnAllOrFail(() => WriteOptimizer(path)));
            WriteWeights(path);
            ranks.RunOnAllOrFail(() =>
            {
                if (folder is not null)
                {
                    CopyCompanions(path);
                    state.Write(path);
                    history.GlobalStep = state.Step;
                    history.Write(path, Settings(recipe.Training, state.TotalSteps, epochs));
                    folder.Publish(replace: true, hashes.ToDictionary(file => file[0], file => file[1]));
                    // Keep what was just written: folders of an older run may have higher numbers.
                    long[] keep = history.BestStep is { } best ? [best, state.Step] : [state.Step];
                    foreach (
                        var problem in folder.Leftovers.Concat(
                            CheckpointFolder.Prune(recipe.Training.OutputFolder, recipe.Training.SaveTotalLimit, keep)
                        )
                    )
                    {
                        note(problem);
                    }
                }
            });
        }
        finally
        {
            folder?.Dispose();
        }

        return target;
    }

    // Name and hash of this rank's file, if it has one: each rank reads its own, which is still cached.
    private string[] WriteOptimizer(string path)
    {
        if (!AtomicFolder.WaitFor(path, patience: TimeSpan.FromSeconds(ranks.IsFirst ? 0 : 60)))
        {
            throw new IOException(
                $"{path}: rank 0 created this folder, but this rank did not see it within a minute. With "
                    + "several machines, output_dir must be on a shared file system."
            );
        }

        return
            !recipe.Training.SaveOnlyModel
            && OptimizerFile.Write(path, trainer.Sharding.Trainable, ranks.Rank, ranks.Count) is { } name
            ? [name, FolderManifest.HashOf(Path.Combine(path, name))]
            : [];
    }

    private void WriteWeights(string path)
    {
        if (trained.IsAdapter)
        {
            WriteAdapter(path);
        }
        else if (HasWholeWeights)
        {
            WriteModel(path);
        }
        else
        {
            ranks.RunOnAllOrFail(() =>
            {
                if (ranks.IsFirst)
                {
                    ModelFolder.WriteConfig(model.Config, path, model.Config.Layout, StoredType);
                }
            });
        }
    }

    private void WriteAdapter(string path)
    {
        var values = new Dictionary<Parameter, Tensor>();
        try
        {
            foreach (var unit in model.Units.Where(unit => unit.HasTrainable))
            {
                trainer.Sharding.GatherValues(unit, Keep, trainedOnly: true);
            }

            ranks.RunOnAllOrFail(() =>
            {
                if (ranks.IsFirst)
                {
                    trained.SaveAdapter(
                        path,
                        inputs.ModelName,
                        baseFingerprint,
                        parameter => values.GetValueOrDefault(parameter) ?? parameter.Value
                    );
                }
            });
        }
        finally
        {
            foreach (var value in values.Values)
            {
                value.Dispose();
            }
        }

        void Keep(Parameter parameter, Tensor value)
        {
            if (ranks.IsFirst)
            {
                values.Add(parameter, value.to(CPU, copy: true).DetachFromDisposeScope());
            }
        }
    }

    // A full disk must not keep rank 0 from taking part in the gathering; it reports the error afterwards.
    private void WriteModel(string path)
    {
        Exception? failure = null;
        using var writer = ranks.RunOnAllOrFail(() =>
            ranks.IsFirst ? new ModelWriter(model, path, model.Config.Layout, StoredType) : null
        );
        foreach (var unit in model.Units)
        {
            trainer.Sharding.GatherValues(
                unit,
                (parameter, value) =>
                {
                    try
                    {
                        if (failure is null)
                        {
                            writer?.Write(parameter, value);
                        }
                    }
                    catch (Exception error) when (error is IOException or UnauthorizedAccessException)
                    {
                        failure = error;
                    }
                }
            );
        }

        ranks.RunOnAllOrFail(() =>
        {
            if (failure is not null)
            {
                throw failure;
            }

            writer?.Complete();
        });
    }

    private ScalarType StoredType => model.Type == ScalarType.Float64 ? ScalarType.Float32 : model.Type;

    private void CopyCompanions(string path)
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
    }

    private void CopyIfThere(string name, string folder)
    {
        var source = Path.Combine(inputs.ModelFolder, name);
        if (File.Exists(source))
        {
            AtomicFile.Copy(source, Path.Combine(folder, name));
        }
    }

    private static TrainerStateSettings Settings(TrainingOptions options, long totalSteps, int epochs) =>
        new(
            totalSteps,
            epochs,
            options.LoggingSteps.Value,
            (options.EvaluationSteps ?? options.LoggingSteps).Value,
            options.SaveSteps.Value,
            options.MicroBatchSize
        );
}
