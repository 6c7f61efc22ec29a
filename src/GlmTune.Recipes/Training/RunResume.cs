using System.Globalization;
using GlmTune.Checkpoints;
using GlmTune.Data.Batching;
using GlmTune.Recipes.Evaluating;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Training;

/// <summary>Puts a run where a checkpoint left it, and says what is not as it was then.</summary>
/// <param name="recipe">What holds now.</param>
/// <param name="data">The training rows.</param>
/// <param name="batches">They as steps; moved to where the next one begins, whatever the number of ranks was.</param>
/// <param name="dataRanks">Ranks with rows of their own.</param>
/// <param name="ranks">The ranks, which all do the same.</param>
/// <param name="note">Gets what somebody should know.</param>
internal sealed class RunResume(
    Recipe recipe,
    RunData data,
    TrainingBatches batches,
    int dataRanks,
    RunRanks ranks,
    Action<string> note
)
{
    /// <summary>Reads the state that belongs to a checkpoint's weights, which the model has already.</summary>
    /// <param name="checkpoint">The folder.</param>
    /// <param name="sharding">Gets master values and moments.</param>
    /// <param name="progress">Gets the log so far.</param>
    /// <param name="evaluation">Gets how long nothing has improved.</param>
    /// <returns>Finished steps.</returns>
    /// <exception cref="InvalidDataException">A file is damaged, or is of a run that put its data together in another
    /// way.</exception>
    public long GoOn(string checkpoint, ISharding sharding, RunProgress progress, EvaluationSchedule evaluation)
    {
        var (history, state) = ranks.RunOnAllOrFail(() =>
            (TrainerStateFile.Read(checkpoint), TrainingState.Read(checkpoint))
        );
        CheckSeenByAll(checkpoint, state);
        FindBest(checkpoint, history);
        progress.Resume(history, state);
        if (ranks.FirstFinds(() => OptimizerFile.IsIn(checkpoint)))
        {
            ranks.RunOnAllOrFail(() => OptimizerFile.Read(checkpoint, sharding.Trainable));
            sharding.ShareUpdates();
        }
        else
        {
            note(
                $"{checkpoint}: has weights and step {history.GlobalStep}, but no readable optimizer state "
                    + "(pickled files are never read): AdamW's moments start at zero."
            );
        }

        if (state is null)
        {
            // Another program's checkpoint: pass over as many batches as its steps used.
            for (var step = 0L; step < history.GlobalStep; step++)
            {
                batches.Next();
            }

            return history.GlobalStep;
        }

        ranks.RunOnAllOrFail(() => GoTo(checkpoint, state, history.Epoch));
        evaluation.WithoutImprovement = state.EvaluationsWithoutImprovement;
        return state.Step;
    }

    // Ranks that took a checkpoint for another program's, and others that did not, would part ways.
    private void CheckSeenByAll(string checkpoint, TrainingState? state)
    {
        if (ranks.Any(state is null) && ranks.Any(state is not null))
        {
            ranks.RunOnAllOrFail(() =>
                _ =
                    state
                    ?? throw new InvalidDataException(
                        $"{Path.Combine(checkpoint, TrainingState.FileName)}: this rank does not see the file, and "
                            + "others do. With several machines, output_dir must be on a file system that all of them "
                            + "share."
                    )
            );
        }
    }

    // A run's folder may have been moved or copied: its best checkpoint is then beside the one that it resumes from,
    // not where it was.
    private void FindBest(string checkpoint, TrainerStateFile history)
    {
        if (
            history is { BestStep: { } step, BestCheckpoint: { } recorded }
            && Path.GetDirectoryName(Path.GetFullPath(checkpoint)) is { } folder
            && CheckpointFolder.PathOf(folder, step) is var beside
            && beside != Path.GetFullPath(recorded)
            && ranks.FirstFinds(() => Directory.Exists(beside))
        )
        {
            history.BestCheckpoint = beside;
        }
    }

    private void GoTo(string checkpoint, TrainingState state, double epoch)
    {
        var template = recipe.Data.Template;
        if (state.Template is { } name && (name != template.Preset.Name || state.EndToken != template.EndToken))
        {
            throw new InvalidDataException(
                $"{checkpoint}: was trained with template {name} and end token {state.EndToken}, but the "
                    + $"recipe has {template.Preset.Name} and {template.EndToken}. Set data_config.template and "
                    + "data_config.end_token to the checkpoint's values, or start from scratch."
            );
        }

        MoveTo(checkpoint, state, epoch);
        var steps = recipe.Training.MaxSteps ?? state.Step + batches.StepsLeft(recipe.Training.Epochs);
        if (state.WorldSize != ranks.Count)
        {
            note(
                $"{checkpoint}: was written by {state.WorldSize} ranks, and this run has {ranks.Count}; the "
                    + "rows continue where they stopped"
                    + (
                        recipe.Training.Packing == true
                            ? "."
                            : ", "
                                + $"{recipe.Training.MicroBatchSize * recipe.Training.AccumulationSteps * dataRanks} "
                                + "rows per step."
                    )
            );
        }

        if (state.Step >= steps)
        {
            note(
                $"{checkpoint}: is at step {state.Step}, and this run ends at step {steps}, so nothing is "
                    + "left to train. Raise max_steps or num_train_epochs to continue training."
            );
        }
        else if (state.TotalSteps != steps)
        {
            note(
                $"{checkpoint}: was planned for {state.TotalSteps} steps, and this run for {steps}; the "
                    + "learning rate follows the new plan."
            );
        }

        if (state.Rows is { } rows && rows != data.Fingerprint && CountOf(state) == data.Examples.Count)
        {
            note(
                $"{checkpoint}: its {data.Examples.Count} training rows differ from those of this run, or are in another "
                    + "order: in the current epoch, some rows may be repeated and others skipped."
            );
        }

        if (state.Seed != recipe.Training.Seed)
        {
            note(
                $"{checkpoint}: used seed {state.Seed}, and this run uses {recipe.Training.Seed}; the order "
                    + "of the rows changes from here on."
            );
        }
    }

    // With as many rows as before, what is used stays used. With another number their order is another one, and only
    // how far the epoch has come means anything.
    private void MoveTo(string checkpoint, TrainingState state, double epoch)
    {
        var count = CountOf(state);
        if ((count is null || count == data.Examples.Count) && batches.TryGoTo(state.Data))
        {
            return;
        }

        var fraction = count is > 0 ? (double)state.Data.Examples / count.Value : epoch - state.Data.Epoch;
        batches.GoTo(state.Data.Epoch, Math.Clamp(fraction, 0, 1));
        note(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{checkpoint}: {state.Data.Examples} {(count is null ? "" : $"of {count} ")}rows of epoch "
                    + $"{state.Data.Epoch + 1} were used"
                    + $"{(count == data.Examples.Count ? ", in micro-batches of another size or packed in another way" : "")}"
                    + $"; this run has {data.Examples.Count} rows and resumes at the same fraction of the epoch, after "
                    + $"row {batches.Cursor.Examples} of epoch {batches.Cursor.Epoch + 1}: some rows of this epoch may "
                    + $"be repeated and others skipped."
            )
        );
    }

    private static int? CountOf(TrainingState state) =>
        int.TryParse(state.Rows?.Split(':')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            ? count
            : null;
}
