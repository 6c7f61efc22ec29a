using GlmTune.Data.Tokenization;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>Writes a run's checkpoints: weights, tokenizer, optimizer and state under another name, then renamed; older ones go last.</summary>
/// <param name="recipe">Names the output folder and how many stay.</param>
/// <param name="modelFolder">Where the tokenizer's files are.</param>
/// <param name="baseModel">How the base model was named.</param>
/// <param name="trained">What is trained.</param>
/// <param name="trainer">The training.</param>
internal sealed class RunCheckpoints(Recipe recipe, string modelFolder, string baseModel, TrainedWeights trained, Trainer trainer)
{
    /// <summary>Writes the checkpoint of the step that was just done, unless it is there.</summary>
    /// <returns>Its folder.</returns>
    public string Write(TrainingState state, TrainerStateFile history, int epochs)
    {
        var target = CheckpointFolder.PathOf(recipe.Training.OutputFolder, state.Step);
        Directory.CreateDirectory(recipe.Training.OutputFolder);
        using (var folder = AtomicFolder.Create(target))
        {
            trained.Save(folder.Path, baseModel, Master);
            if (TokenizerFile.IsIn(modelFolder))
            {
                TokenizerFile.Copy(modelFolder, folder.Path);
            }
            CopyIfThere("generation_config.json", folder.Path);
            if (!trained.IsAdapter)
            {
                // Other programs need the original layout's modeling code beside the weights; it is copied, never run.
                foreach (var code in Directory.EnumerateFiles(modelFolder, "*.py"))
                {
                    CopyIfThere(Path.GetFileName(code), folder.Path);
                }
            }
            if (!recipe.Training.SaveOnlyModel)
            {
                OptimizerFile.Write(folder.Path, trainer.Sharding.Trainable);
            }
            state.Write(folder.Path);
            history.GlobalStep = state.Step;
            history.Write(folder.Path, recipe.Training, state.TotalSteps, epochs);
            folder.Publish(replace: true);
        }
        // What was just written stays too: an older run's folders may have higher numbers.
        long[] keep = history.BestStep is { } best ? [best, state.Step] : [state.Step];
        CheckpointFolder.Prune(recipe.Training.OutputFolder, recipe.Training.SaveTotalLimit, keep);
        return target;
    }

    private Tensor Master(Parameter parameter)
    {
        foreach (var shard in trainer.Sharding.Trainable)
        {
            foreach (var segment in shard.Segments)
            {
                if (segment.Parameter == parameter)
                {
                    return shard.Master.narrow(0, segment.Start, parameter.Count).view(parameter.Shape);
                }
            }
        }
        return parameter.Value;
    }

    private void CopyIfThere(string name, string folder)
    {
        var source = Path.Combine(modelFolder, name);
        if (File.Exists(source))
        {
            File.Copy(source, Path.Combine(folder, name));
        }
    }
}
