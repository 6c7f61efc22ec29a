using GlmTune.Checkpoints;
using GlmTune.Kernels.Memory;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>The saves of a run: behind training where possible, one at a time, and at once at its end. A checkpoint
/// counts as saved only when it is flushed and renamed.</summary>
/// <remarks>All ranks make the same calls at the same steps.</remarks>
/// <param name="setup">What the run consists of.</param>
internal sealed class RunSaves(RunSetup setup)
{
    private readonly RunRanks ranks = setup.Ranks;
    private readonly Trainer trainer = setup.Trainer;
    private readonly CheckpointRetry retry = new(setup.Recipe.Training, setup.Ranks, setup.Reporter.Note);
    private (PendingCheckpoint Checkpoint, long Step, long? Best)? underWay;
    private long newestStep = setup.Trainer.Done;

    /// <summary>Path of the newest checkpoint that this run has saved; null: none.</summary>
    public string? Newest { get; private set; }

    private bool SavesAtAll => setup.Recipe.Training.SaveStrategy != IntervalStrategy.No;

    /// <summary>Notices that a checkpoint which is written behind training is complete, or that it failed; called after
    /// each step.</summary>
    /// <param name="stop">Ends a pause because of a failing disk.</param>
    /// <exception cref="IOException">As in <see cref="CheckpointRetry.Save"/>.</exception>
    public void Advance(CancellationToken stop) => Advance(wait: false, isLast: false, stop);

    /// <summary>Saves the step that has just finished. Returns as soon as it is copied, where it can be written behind
    /// training.</summary>
    /// <param name="isLast">Whether the run ends after it.</param>
    /// <param name="stop">Ends a pause because of a failing disk.</param>
    /// <exception cref="InvalidDataException">Weights or optimizer state are not finite.</exception>
    /// <exception cref="IOException">As in <see cref="CheckpointRetry.Save"/>.</exception>
    public void Save(bool isLast, CancellationToken stop)
    {
        Advance(wait: true, isLast: false, stop);
        ranks.RunOnAllOrFail(() => trainer.CheckFinite());
        Exception? failure = null;
        try
        {
            if (!isLast && setup.Checkpoints.Begin(State(), History, Epochs) is { } begun)
            {
                underWay = (begun, trainer.Done, History.BestStep);
                return;
            }
        }
        catch (Exception error) when (CheckpointRetry.IsOfDisk(error))
        {
            failure = error;
        }

        Record(retry.Save(trainer.Done, isLast, History.BestStep, Write, stop, failure), trainer.Done);
    }

    /// <summary>Waits for the checkpoint that is being written, and saves the last step unless it is saved.</summary>
    /// <param name="stop">Ends a pause because of a failing disk.</param>
    /// <exception cref="InvalidDataException">Weights or optimizer state are not finite.</exception>
    /// <exception cref="IOException">As in <see cref="CheckpointRetry.Save"/>.</exception>
    public void SaveLast(CancellationToken stop)
    {
        Advance(wait: true, isLast: underWay?.Step == trainer.Done, stop);
        if (trainer.Done > newestStep && SavesAtAll && trainer.IsWhole)
        {
            Save(isLast: true, stop);
        }
    }

    /// <summary>Waits for the checkpoint that is being written.</summary>
    /// <param name="stop">Ends a pause because of a failing disk.</param>
    /// <exception cref="IOException">As in <see cref="CheckpointRetry.Save"/>.</exception>
    public void Finish(CancellationToken stop) => Advance(wait: true, isLast: false, stop);

    /// <summary>Saves what can be saved after memory ran out on a single rank.</summary>
    /// <returns>What is saved, as sentences.</returns>
    public string AfterFailure()
    {
        try
        {
            Advance(wait: true, isLast: false, new CancellationToken(canceled: true));
        }
        catch (Exception again) when (CheckpointRetry.IsOfDisk(again) || AllocationFailure.Find(again) is not null)
        {
            underWay = null; // what is on disk counts
        }

        if (!trainer.IsWhole || trainer.Done <= newestStep || !SavesAtAll)
        {
            return DescribeNewest();
        }

        try
        {
            return $"Step {trainer.Done} is saved in {Write()}.";
        }
        catch (Exception again) when (AllocationFailure.Find(again) is not null)
        {
            return $"There was no memory left to save step {trainer.Done} either. {DescribeNewest()}";
        }
    }

    /// <summary>The newest checkpoint that is complete, as a sentence.</summary>
    public string DescribeNewest() =>
        newestStep > 0 ? $"Checkpoint {newestStep} is the last one." : "No checkpoint was written before.";

    private TrainerStateFile History => setup.Progress.History;

    private int Epochs => (int)Math.Ceiling(Math.Max(setup.Recipe.Training.Epochs, History.Epoch));

    private void Advance(bool wait, bool isLast, CancellationToken stop)
    {
        if (underWay is not var (checkpoint, step, best))
        {
            return;
        }

        try
        {
            if (!checkpoint.Advance(wait))
            {
                return;
            }
        }
        catch (Exception error) when (CheckpointRetry.IsOfDisk(error))
        {
            underWay = null;
            Record(retry.Save(step, isLast, best, () => WriteCopy(checkpoint), stop, error), step);
            return;
        }

        underWay = null;
        retry.Succeeded();
        Complete(checkpoint);
        Record(checkpoint.Target, step);
    }

    private void Record(string? path, long step)
    {
        if (path is not null)
        {
            (Newest, newestStep) = (path, step);
        }
    }

    // The copy is still in memory, so that the checkpoint is of the step of which it was to be.
    private string WriteCopy(PendingCheckpoint checkpoint)
    {
        checkpoint.Begin();
        _ = checkpoint.Advance(wait: true);
        Complete(checkpoint);
        return checkpoint.Target;
    }

    private void Complete(PendingCheckpoint checkpoint)
    {
        setup.Checkpoints.Tell(checkpoint.Notes);
        setup.Reporter.Saved(checkpoint.Target);
    }

    private string Write()
    {
        var folder = setup.Checkpoints.Write(State(), History, Epochs);
        setup.Reporter.Saved(folder);
        return folder;
    }

    private TrainingState State() =>
        new()
        {
            Step = trainer.Done,
            TotalSteps = setup.TotalSteps,
            Data = setup.Batches.Cursor,
            Seed = setup.Recipe.Training.Seed,
            UnloggedLoss = setup.Progress.UnloggedLoss,
            UnloggedSteps = setup.Progress.UnloggedSteps,
            EvaluationsWithoutImprovement = setup.Evaluation.WithoutImprovement,
            WorldSize = ranks.Count,
            Template = setup.Data.Template.Options.Preset.Name,
            EndToken = setup.Data.Template.Options.EndToken,
            Rows = setup.Data.Fingerprint,
            Job = SlurmRestart.Current.Job,
            Base = setup.Base,
            Settings = setup.Settings,
            Skipped = trainer.Skipped,
            Rewinds = setup.Rewinds,
            LeftOut = setup.Batches.LeftOut.Count == 0 ? null : [.. setup.Batches.LeftOut.Order()],
            RecentLosses = trainer.Spikes.Losses.Count == 0 ? null : [.. trainer.Spikes.Losses],
            RecentNorms = trainer.Spikes.Norms.Count == 0 ? null : [.. trainer.Spikes.Norms],
        };
}
