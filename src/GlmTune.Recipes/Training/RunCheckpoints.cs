using GlmTune.Checkpoints;
using GlmTune.Files;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>Writes a run's checkpoints (weights, tokenizer, optimizer and state) under a temporary name, renames them,
/// and then removes old ones: at once, or behind training from a copy in host memory.</summary>
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
/// <param name="conditions">Under which copies are made and written; null: those of this machine.</param>
internal sealed class RunCheckpoints(
    Recipe recipe,
    RunInputs inputs,
    string? baseFingerprint,
    DecoderModel model,
    TrainedWeights trained,
    Trainer trainer,
    RunRanks ranks,
    Action<string> note,
    RunConditions? conditions = null
) : IDisposable
{
    // Share of the available host memory that the copy may take: the rest is for reading rows and for the disk cache.
    private const double ShareForSnapshot = 0.75;

    private readonly CheckpointFiles files = new(recipe, inputs, baseFingerprint, model, trained);
    private StateSnapshot? snapshot;
    private PendingCheckpoint? pending;
    private bool writesBehind = recipe.Training.SaveAsync;

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
            ranks.RunOnAllOrFail(() => folder = ranks.IsFirst ? Create(target) : null);
            var path = AtomicFolder.TemporaryPath(target, inputs.Run);
            var hashes = ranks.FromAll(
                ranks.RunOnAllOrFail(() => files.WriteOptimizer(path, OwnStates(), ranks.Rank, ranks.Count))
            );
            WriteWeights(path);
            var text = Text(state, history, epochs);
            ranks.RunOnAllOrFail(() =>
            {
                if (folder is not null)
                {
                    files.WriteRest(path, state, text);
                    Tell(Publish(folder, hashes, state.Step, history.BestStep));
                }
            });
        }
        finally
        {
            folder?.Dispose();
        }

        return target;
    }

    /// <summary>Copies the state of the step that has just finished, and starts writing it behind training. The one
    /// before must be complete.</summary>
    /// <returns>The checkpoint, which the caller advances and this object disposes; null: checkpoints of this run are
    /// written at once, since the copy does not fit into host memory or the recipe says so.</returns>
    /// <exception cref="IOException">The folder cannot be created. With several ranks, a
    /// <see cref="Collectives.SharedFailureException"/>.</exception>
    public PendingCheckpoint? Begin(TrainingState state, TrainerStateFile history, int epochs)
    {
        if (!writesBehind || !TryAllocate())
        {
            return null;
        }

        var copy = snapshot!;
        copy.Begin();
        Gather(copy);
        var target = CheckpointFolder.PathOf(recipe.Training.OutputFolder, state.Step);
        var (text, best, threads) = (Text(state, history, epochs), history.BestStep, get_num_threads());
        pending?.Dispose();
        pending = new PendingCheckpoint(
            ranks,
            target,
            () => Create(target),
            () =>
            {
                // As many as at once, so that the projection of a prefix has the same bits.
                set_num_threads(threads);
                copy.Complete();
                conditions?.Writing?.Invoke(state.Step);
                return WriteCopy(AtomicFolder.TemporaryPath(target, inputs.Run), copy, state, text);
            },
            (folder, hashes) => Publish(folder, hashes, state.Step, best)
        );
        try
        {
            pending.Begin();
        }
        catch
        {
            copy.Complete(); // nobody else does now, and the next update waits for it
            throw;
        }

        return pending;
    }

    /// <summary>Waits for the thread that writes, and releases the copy.</summary>
    public void Dispose()
    {
        pending?.Dispose();
        trainer.BeforeUpdate = null;
        snapshot?.Dispose();
        (pending, snapshot) = (null, null);
    }

    private AtomicFolder Create(string target)
    {
        Disk.CreateFolder(recipe.Training.OutputFolder);
        return AtomicFolder.Create(target, inputs.Run);
    }

    // Rank 0 only. Returns what could not be removed.
    private IReadOnlyList<string> Publish(AtomicFolder folder, IEnumerable<string[]> hashes, long step, long? best)
    {
        folder.Publish(
            replace: true,
            hashes.Where(file => file.Length > 0).ToDictionary(file => file[0], file => file[1])
        );
        // Keep what was just written: folders of an older run may have higher numbers.
        long[] keep = best is { } other ? [other, step] : [step];
        return
        [
            .. folder.Leftovers,
            .. CheckpointFolder.Prune(recipe.Training.OutputFolder, recipe.Training.SaveTotalLimit, keep),
        ];
    }

    /// <summary>Passes on the notes of a checkpoint.</summary>
    public void Tell(IEnumerable<string> notes)
    {
        foreach (var text in notes)
        {
            note(text);
        }
    }

    private string Text(TrainingState state, TrainerStateFile history, int epochs)
    {
        history.GlobalStep = state.Step;
        return history.Text(Settings(recipe.Training, state.TotalSteps, epochs));
    }

    private List<ShardState> OwnStates() =>
        [
            .. trainer
                .Sharding.Trainable.Select(shard => shard.State)
                .Where(state => OptimizerFile.IsWrittenBy(state, ranks.Rank)),
        ];

    private bool SavesMoments => !recipe.Training.SaveOnlyModel;

    // Whether the weights of other ranks must be sent to rank 0.
    private bool Gathers => HasWholeWeights && trainer.Sharding.Trainable.Any(shard => shard.WorldSize > 1);

    // All ranks decide alike.
    private bool TryAllocate()
    {
        if (snapshot is not null)
        {
            return true;
        }

        var states = OwnStates();
        var needed = StateSnapshot.BytesOf(states, SavesMoments) + GatheredBytes();
        var available = (conditions?.AvailableMemory ?? HostMemory.Available) / RanksOfThisMachine;
        string? problem = null;
        if (ranks.Any(needed > available * ShareForSnapshot))
        {
            problem = $"takes {ByteCount.Text(needed)} on this rank, of {ByteCount.Text(available)} available";
        }
        else
        {
            StateSnapshot? made = null;
            try
            {
                made = new StateSnapshot(states, model.Device, SavesMoments);
            }
            catch (Exception error) when (IsOfMemory(error))
            {
                problem = $"could not be allocated: {error.Message.TrimEnd('.')}";
            }

            if (ranks.Any(problem is not null))
            {
                made?.Dispose();
                problem ??= "could not be allocated on another rank";
            }
            else
            {
                snapshot = made;
                trainer.BeforeUpdate = snapshot!.AwaitBeforeUpdate;
            }
        }

        if (problem is not null)
        {
            writesBehind = false;
            note(
                "training pauses while checkpoints are written: the copy in host memory that save_async needs "
                    + problem
            );
        }

        return problem is null;
    }

    private int RanksOfThisMachine =>
        model.Device.type == DeviceType.CUDA ? Math.Min(ranks.Count, Math.Max(1, cuda.device_count())) : ranks.Count;

    private long GatheredBytes() =>
        Gathers && ranks.IsFirst
            ? trainer
                .Sharding.Trainable.Where(shard => shard.WorldSize > 1)
                .SelectMany(shard => shard.Segments.Select(segment => segment.Parameter.Count * SizeOf(shard)))
                .Sum()
            : 0;

    private int SizeOf(FlatShard shard) => (trained.IsAdapter ? shard.Master.dtype : files.StoredType).ElementSize();

    private void Gather(StateSnapshot copy)
    {
        if (!Gathers)
        {
            return;
        }

        Exception? failure = null;
        foreach (var unit in model.Units.Where(unit => unit.HasTrainable))
        {
            trainer.Sharding.GatherValues(unit, Keep, trainedOnly: true);
        }

        ranks.RunOnAllOrFail(() =>
        {
            if (failure is not null)
            {
                throw new IOException($"There is no host memory left for the checkpoint: {failure.Message}", failure);
            }
        });

        // Rank 0 takes part in the gathering to its end; it reports the error afterwards.
        void Keep(Parameter parameter, Tensor value)
        {
            if (!ranks.IsFirst || failure is not null || copy.Has(parameter))
            {
                return;
            }

            try
            {
                using var scope = NewDisposeScope();
                copy.Store(parameter, trained.IsAdapter ? value : value.to_type(files.StoredType));
            }
            catch (Exception error) when (IsOfMemory(error))
            {
                failure = error;
            }
        }
    }

    private static bool IsOfMemory(Exception error) =>
        error is OutOfMemoryException or CudaException || AllocationFailure.Find(error) is not null;

    // On the thread that writes.
    private string[] WriteCopy(string path, StateSnapshot copy, TrainingState state, string text)
    {
        var hashes = files.WriteOptimizer(path, copy.States, ranks.Rank, ranks.Count);
        if (!ranks.IsFirst)
        {
            return hashes;
        }

        Tensor ValueOf(Parameter parameter) => copy.Holds(parameter) ? copy.ValueOf(parameter) : parameter.Value;
        using var scope = NewDisposeScope();
        if (trained.IsAdapter)
        {
            files.WriteAdapter(path, ValueOf);
        }
        else if (HasWholeWeights)
        {
            files.WriteModel(path, ValueOf);
        }
        else
        {
            files.WriteConfig(path);
        }

        files.WriteRest(path, state, text);
        return hashes;
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
                    files.WriteConfig(path);
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
                    files.WriteAdapter(path, parameter => values.GetValueOrDefault(parameter) ?? parameter.Value);
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
        using var writer = ranks.RunOnAllOrFail(() => ranks.IsFirst ? files.NewModelWriter(path) : null);
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
