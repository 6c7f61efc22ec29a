using GlmTune.Checkpoints;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>Writes a run's checkpoints: weights, tokenizer, optimizer and state under another name, then renamed; older
/// ones go last.</summary>
/// <remarks>
/// Each rank writes its slices of the optimizer, rank 0 the rest: the weights as they come in, gathered layer by layer.
/// The folder gets its name after every rank's files are on the disk; where one rank fails, all do, and the folder is
/// removed. </remarks>
/// <param name="recipe">Names the output folder and how many stay.</param>
/// <param name="inputs">Where the tokenizer's files are, how the base model was named, and what is sharded.</param>
/// <param name="model">The model.</param>
/// <param name="trained">What is trained.</param>
/// <param name="trainer">The training.</param>
/// <param name="ranks">The ranks; their output folder is one and the same.</param>
/// <param name="note">Gets, on rank 0, what older ones or interrupted attempts left that could not be removed.</param>
internal sealed class RunCheckpoints(
    Recipe recipe,
    RunInputs inputs,
    DecoderModel model,
    TrainedWeights trained,
    Trainer trainer,
    RunRanks ranks,
    Action<string> note
)
{
    /// <summary>Whether a checkpoint has the weights as a model or adapter that other programs read.</summary>
    /// <remarks>
    /// Else they are in the ranks' optimizer files alone, from which <c>glmtune checkpoint consolidate</c> makes a
    /// model. Adapters are always gathered, since they are small, and so is what would otherwise not be in the
    /// checkpoint at all. </remarks>
    public bool HasWholeWeights =>
        trained.IsAdapter
        || inputs.Plan.Sharding is { Stage: < 3 } or { GatherWeightsOnSave: true }
        || recipe.Training.SaveOnlyModel;

    /// <summary>Writes the checkpoint of the step that was just done; an existing one is replaced.</summary>
    /// <returns>Its folder.</returns>
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
                    Directory.CreateDirectory(recipe.Training.OutputFolder);
                    folder = AtomicFolder.Create(target);
                }
            });
            var path = AtomicFolder.TemporaryPath(target);
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
                    // What was just written stays too: an older run's folders may have higher numbers.
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

    // Name and hash of this rank's file, if it has one: each reads its own, which is still in its memory.
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

    // A full disk must not keep rank 0 from the gathering that the other ranks wait in: it is told when all is
    // gathered.
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
            foreach (var code in Directory.EnumerateFiles(inputs.ModelFolder, "*.py"))
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
            File.Copy(source, Path.Combine(folder, name));
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
