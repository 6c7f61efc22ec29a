using System.Globalization;
using GlmTune.Checkpoints;
using GlmTune.Data.Batching;
using GlmTune.Files;
using GlmTune.Recipes.Evaluating;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Training;

/// <summary>Restores a run's state from a checkpoint, and reports what has changed since then.</summary>
/// <param name="recipe">The current recipe.</param>
/// <param name="data">The training rows.</param>
/// <param name="batches">The same rows as steps; set to the position of the next step, whatever the world size.</param>
/// <param name="dataRanks">Number of ranks with rows of their own.</param>
/// <param name="ranks">The ranks; all make the same calls.</param>
/// <param name="note">Called with notes for the user.</param>
internal sealed class RunResume(
    Recipe recipe,
    RunData data,
    TrainingBatches batches,
    int dataRanks,
    RunRanks ranks,
    Action<string> note
)
{
    /// <summary>The state that was read last; null: none, or of another program's checkpoint.</summary>
    public TrainingState? State { get; private set; }

    /// <summary>Reads the state that belongs to a checkpoint's weights, which are already in the model.</summary>
    /// <param name="checkpoint">The checkpoint folder.</param>
    /// <param name="settings">The settings in effect, to compare with those of the checkpoint.</param>
    /// <param name="sharding">Receives master weights and moments.</param>
    /// <param name="progress">Receives the log so far.</param>
    /// <param name="evaluation">Receives the number of evaluations without improvement.</param>
    /// <returns>Number of finished steps.</returns>
    /// <exception cref="InvalidDataException">A file is damaged, or is from a run that grouped its data
    /// differently.</exception>
    public long Continue(
        string checkpoint,
        IReadOnlyDictionary<string, string> settings,
        ISharding sharding,
        RunProgress progress,
        EvaluationSchedule evaluation
    )
    {
        var (history, state) = ranks.RunOnAllOrFail(() =>
            (TrainerStateFile.Read(checkpoint), TrainingState.Read(checkpoint))
        );
        CheckSeenByAll(checkpoint, state);
        State = state;
        FindBest(checkpoint, history);
        progress.Resume(history, state);
        if (ranks.FirstFinds(() => OptimizerFile.IsIn(checkpoint)))
        {
            foreach (var converted in ranks.RunOnAllOrFail(() => OptimizerFile.Read(checkpoint, sharding.Trainable)))
            {
                note($"{checkpoint}: {converted}; they were converted");
            }

            sharding.ShareUpdates();
        }
        else
        {
            note(
                $"{checkpoint}: has weights and step {history.GlobalStep}, but no optimizer state that can be read, so "
                    + $"AdamW's moments start at zero.{PickledState(checkpoint)}"
            );
        }

        if (state is null)
        {
            // Another program's checkpoint: skip as many batches as its steps used.
            for (var step = 0L; step < history.GlobalStep; step++)
            {
                batches.Next();
            }

            return history.GlobalStep;
        }

        ranks.RunOnAllOrFail(() => GoTo(checkpoint, state, history.Epoch));
        if (state.Settings is { } old && RunSettings.Compare(old, settings) is { Count: > 0 } changes)
        {
            note(
                $"{checkpoint}: settings have changed since it was written, and the new ones are used: "
                    + string.Join(", ", changes)
            );
        }

        evaluation.WithoutImprovement = state.EvaluationsWithoutImprovement;
        return state.Step;
    }

    // Ranks that disagree on whether this is another program's checkpoint would diverge.
    private void CheckSeenByAll(string checkpoint, TrainingState? state)
    {
        if (ranks.Any(state is null) && ranks.Any(state is not null))
        {
            ranks.RunOnAllOrFail(() =>
                _ =
                    state
                    ?? throw new InvalidDataException(
                        $"{Path.Combine(checkpoint, TrainingState.FileName)}: this rank does not see the "
                            + "file, but others do. With several machines, output_dir must be on a shared file "
                            + "system."
                    )
            );
        }
    }

    // The folder may have been moved or copied: look for the best checkpoint beside the current one, not at its old
    // path.
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
        var template = data.Template.Options;
        if (state.Template is { } name && (name != template.Preset.Name || state.EndToken != template.EndToken))
        {
            throw new InvalidDataException(
                $"{checkpoint}: was trained with template {name} and end token {state.EndToken}, but the "
                    + $"recipe has {template.Preset.Name} and {template.EndToken}. Set data_config.template and "
                    + "data_config.end_token to the checkpoint's values, or start from scratch."
            );
        }

        batches.LeftOut = LeftOut(checkpoint, state);
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
                $"{checkpoint}: its {data.Examples.Count} training rows differ from those of this run, or are "
                    + "in another order: in the current epoch, some rows may be repeated and others skipped."
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

    // Rows have no names, so the numbers of others say nothing.
    private HashSet<int> LeftOut(string checkpoint, TrainingState state)
    {
        if (state.LeftOut is not { Count: > 0 } rows)
        {
            return [];
        }

        if (state.Rows == data.Fingerprint)
        {
            return [.. rows];
        }

        note(
            $"{checkpoint}: the run had left out {rows.Count} rows after a rewind; the training rows have changed, so "
                + "none are left out"
        );
        return [];
    }

    // With the same number of rows, used rows stay used. With another number the order changes, and only the fraction
    // of the epoch is meaningful.
    private void MoveTo(string checkpoint, TrainingState state, double epoch)
    {
        var count = CountOf(state);
        if ((count is null || count == data.Examples.Count) && batches.TryGoTo(state.Data))
        {
            return;
        }

        var fraction = count is > 0 ? (double)state.Data.Examples / count.Value : epoch - state.Data.Epoch;
        batches.GoTo(state.Data.Epoch, Math.Clamp(fraction, 0, 1));
        var how = count == data.Examples.Count ? ", in micro-batches of another size or packed in another way" : "";
        note(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{checkpoint}: {state.Data.Examples} {(count is null ? "" : $"of {count} ")}rows of epoch "
                    + $"{state.Data.Epoch + 1} were used{how}"
                    + $"; this run has {data.Examples.Count} rows and resumes at the same fraction of the epoch, after "
                    + $"row {batches.Cursor.Examples} of epoch {batches.Cursor.Epoch + 1}: some rows of this epoch may "
                    + $"be repeated and others skipped."
            )
        );
    }

    private static string PickledState(string checkpoint) =>
        Directory
            .EnumerateFiles(checkpoint)
            .Select(Path.GetFileName)
            .Order(StringComparer.Ordinal)
            .FirstOrDefault(name =>
                name!.StartsWith("optimizer", StringComparison.Ordinal) && FileContent.IsPickleName(name)
            )
            is { } pickle
            ? $" Its {pickle} {FileContent.Pickle}"
            : "";

    private static int? CountOf(TrainingState state) =>
        int.TryParse(state.Rows?.Split(':')[0], NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            ? count
            : null;
}
