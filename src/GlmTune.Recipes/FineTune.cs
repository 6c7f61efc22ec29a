using System.Diagnostics;
using System.Runtime.ExceptionServices;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Optimization;
using GlmTune.Training.SequenceParallel;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>Fine-tuning from files to checkpoints, on one rank or many: one straight program, the same on each.</summary>
public sealed class FineTune : IDisposable
{
    private readonly Recipe recipe;
    private readonly RunRanks ranks;
    private readonly RankReporter reporter;
    private readonly Glm4Model model;
    private readonly TrainedWeights trained;
    private readonly ISharding sharding;
    private readonly Trainer trainer;
    private readonly RunData data;
    private readonly RunEvaluation evaluation;
    private readonly TrainingBatches batches;
    private readonly RunCheckpoints checkpoints;
    private readonly RunProgress progress = new();
    private readonly int totalSteps;

    private FineTune(Recipe given, string dataFolder, string model, string? resume, IFineTuneReporter listener, ICollectives collectives, CancellationToken stop)
    {
        ranks = new RunRanks(collectives);
        reporter = new RankReporter(ranks, listener);
        var (modelFolder, plan, maxPositions) = ranks.Together(() =>
        {
            var folder = ModelReference.Resolve(model);
            var config = Glm4Config.Read(folder);
            SharedSequences.Check(given, config, ranks.Count);
            return (folder, given.Plan(config.HiddenSize, ranks.Count / given.Training.SequenceParallelSize), config.MaxPositions);
        });
        recipe = plan.Recipe;
        Note(recipe.Notes);
        Note(plan.Settings.Count == 0 ? [] : [$"{recipe.DeepSpeed!.Source}:\n  {string.Join("\n  ", plan.Settings)}"]);
        var checkpoint = FindCheckpoint(resume ?? recipe.ResumeFrom);

        data = ranks.Together(() => RunData.Read(recipe, dataFolder, modelFolder, stop));
        evaluation = ranks.Together(() => new RunEvaluation(recipe, data, dataFolder, modelFolder, ranks, reporter, stop));
        ranks.Together(() => evaluation.CheckRoom(maxPositions));
        Note([.. data.Notes, .. evaluation.Notes]);

        ranks.Together(() => FrozenBase.Check(recipe.Training, plan.Sharding.Stage));
        var slices = plan.Sharding.Stage == 3 && !TrainedWeights.BeginFromWeights(recipe) ? new WeightSlices(plan.Sharding, collectives) : null;
        this.model = ranks.Together(() => ModelFolder.Load(
            WeightsOf(checkpoint) ?? modelFolder, ComputingType(collectives.Device), collectives.Device,
            loaded: slices is null ? unit => FrozenBase.Place(unit, recipe.Training) : slices.Take, fp8: recipe.Training.Fp8Base));
        trained = ranks.Together(() => TrainedWeights.Prepare(this.model, recipe, checkpoint, () => data.PrefixText(recipe)));
        ranks.Together(() => FrozenBase.Check(this.model, recipe.Training));
        sharding = DataParallel.For(plan.Sharding, this.model, collectives, slices);
        recipe = recipe with { Training = recipe.Training with { Packing = recipe.Training.Packing ?? collectives.Device.type == DeviceType.CUDA } };
        // Ranks that share a micro-batch all have the same rows, as one rank would.
        var shared = recipe.Training.SequenceParallelSize > 1;
        batches = new TrainingBatches(data.Examples, recipe.Batches, data.Tokenizer.Special.Padding, shared ? 0 : ranks.Rank, DataRanks);
        Note(recipe.Training.Packing == true ? [Describe(batches.Packing)] : []);
        var done = checkpoint is null ? 0 : Resume(checkpoint);
        totalSteps = recipe.Training.MaxSteps ?? (int)done + batches.StepsLeft(recipe.Training.Epochs);
        var recomputed = Recomputed();
        trainer = new Trainer(
            new LayerRunner(this.model, sharding, recomputed.Whole) { CheaplyRecomputed = recomputed.CheapParts }, sharding,
            recipe.Optimizer, new LearningRateSchedule(recipe.Optimizer.LearningRate, recipe.Schedule, totalSteps), recipe.Training.Seed, ranks.Rank)
        {
            Done = done,
            RecordsSmallSteps = recipe.Training.CudaGraphs,
            MakePass = shared ? batch => SharedPass.Of(batch, this.model.Config.Heads, collectives) : null,
        };
        checkpoints = new RunCheckpoints(recipe, plan.Sharding, modelFolder, model, this.model, trained, trainer, ranks, reporter.Note);
        if (!checkpoints.HasWholeWeights)
        {
            Note(["checkpoints hold the weights in the ranks' optimizer files; glmtune checkpoint consolidate makes a model of them "
                + "(stage3_gather_16bit_weights_on_model_save: true writes one with each checkpoint)"]);
        }
        reporter.Started(new FineTuneStart(
            data.Examples.Count, totalSteps, trainer.Done, recipe.Training.MicroBatchSize, recipe.Training.AccumulationSteps, ranks.Count, trained.Count,
            this.model.Parameters.Sum(parameter => parameter.Count), collectives.Device.ToString(), this.model.Type.ToString())
        {
            Recipe = recipe,
        });
    }

    /// <summary>Trains until the recipe's last step, or until asked to stop; saves at the end either way.</summary>
    /// <param name="recipe">What to do.</param>
    /// <param name="dataFolder">Holds the files that the recipe names.</param>
    /// <param name="model">Model folder, or hub id of a downloaded model.</param>
    /// <param name="resume">Which checkpoint to go on from, as the command line has it; null: the recipe's own word.</param>
    /// <param name="reporter">Hears what happens, on rank 0.</param>
    /// <param name="stop">Ends the run after the current step, with a checkpoint; on all ranks where it is set on any.</param>
    /// <param name="ranks">The ranks, each of which makes this call with the same arguments; null: alone, on the first GPU that works or the CPU.</param>
    /// <exception cref="InvalidDataException">A file is missing, damaged or does not fit; nothing was changed.</exception>
    /// <exception cref="NonFiniteStepException">A step's loss or gradient norm is not finite; the step before is saved.</exception>
    /// <exception cref="SharedFailureException">With several ranks, either of these on any of them.</exception>
    /// <exception cref="LostRankException">A rank has stopped or hangs (thread ranks; processes end).</exception>
    public static FineTuneResult Run(
        Recipe recipe, string dataFolder, string model, string? resume, IFineTuneReporter reporter, CancellationToken stop, ICollectives? ranks = null)
    {
        NativeRuntime.Load();
        using var alone = ranks is null ? new SingleRank(recipe.Training.UseCpu ? CPU : NativeRuntime.DefaultDevice()) : null;
        using var run = new FineTune(recipe, dataFolder, model, resume, reporter, ranks ?? alone!, stop);
        return run.Train(stop);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        trainer.Dispose();
        sharding.Dispose();
        trained.Dispose();
        model.Dispose();
    }

    // Ranks with rows of their own.
    private int DataRanks => ranks.Count / recipe.Training.SequenceParallelSize;

    private ICausalLm Evaluated => sharding.Stage == 3 ? new GatheringModel(model, sharding) : model;

    private FineTuneResult Train(CancellationToken stop)
    {
        var watch = Stopwatch.StartNew();
        var (losses, steps) = (0.0, 0);
        string? saved = null;
        var savedStep = trainer.Done;
        var halted = trainer.Done == 0 && evaluation.IsDueOnStart && Evaluate(stop);
        var before = batches.Cursor;
        try
        {
            while (trainer.Done < totalSteps && !halted && !ranks.AnyStops(stop))
            {
                before = batches.Cursor;
                ranks.Step = trainer.Done + 1;
                var report = trainer.Step(batches.Next(), index => data.Examples[index].Line);
                (losses, steps) = (losses + report.Loss, steps + 1);
                progress.Add(report);
                reporter.Stepped(report);
                if (IsDue(recipe.Training.LoggingStrategy, recipe.Training.LoggingSteps, report)
                    || (recipe.Training.LoggingFirstStep && report.Step == 1))
                {
                    reporter.Logged(report.Step, progress.Line(report));
                }
                if (evaluation.MayFollow(report) && IsDue(recipe.Training.EvaluationStrategy, recipe.Training.EvaluationSteps ?? recipe.Training.LoggingSteps, report))
                {
                    halted = Evaluate(stop);
                }
                if (IsDue(recipe.Training.SaveStrategy, recipe.Training.SaveSteps, report))
                {
                    (saved, savedStep) = (Save(), report.Step);
                }
            }
        }
        catch (NonFiniteStepException error)
        {
            // The step that failed is not done, so its rows come again. All ranks are here: loss and norm are those of all.
            batches.Cursor = before;
            if (trainer.Done > savedStep)
            {
                Save();
            }
            ranks.Together(() => ExceptionDispatchInfo.Throw(error));
        }
        if (trainer.Done > savedStep && recipe.Training.SaveStrategy != IntervalStrategy.No)
        {
            saved = Save();
        }
        var stopped = ranks.AnyStops(stop) || !Test(stop);
        return new FineTuneResult(trainer.Done, losses / Math.Max(1, steps), watch.Elapsed, saved, stopped);
    }

    // Rank 0 looks, as all see the same folder; what there is to hash is shared out.
    private string? FindCheckpoint(string? resume)
    {
        var found = ranks.FromFirst(() =>
        {
            AtomicFolder.RemoveStale(recipe.Training.OutputFolder);
            return CheckpointFolder.Resolve(recipe.Training.OutputFolder, resume, reporter.Note);
        });
        if (found is not null && !CheckpointFolder.IsNewest(resume))
        {
            Verify(found);
        }
        return found;
    }

    // Each rank hashes a share of the files. Other programs' checkpoints have no manifest.
    private void Verify(string checkpoint) => ranks.Together(() =>
    {
        if (File.Exists(Path.Combine(checkpoint, FolderManifest.FileName)))
        {
            FolderManifest.Verify(checkpoint, share: ranks.Rank, shares: ranks.Count);
        }
    });

    // A checkpoint without a whole model has the weights among its optimizer's files.
    private string? WeightsOf(string? checkpoint)
        => checkpoint is not null && recipe.Lora is null && recipe.Prefix is null && (WeightFiles.AreIn(checkpoint) || !OptimizerFile.IsIn(checkpoint)) ? checkpoint : null;

    private ScalarType ComputingType(Device device) => recipe.Training.Precision switch
    {
        Precision.Float32 => ScalarType.Float32,
        Precision.BFloat16 => ScalarType.BFloat16,
        _ => device.type == DeviceType.CUDA ? ScalarType.BFloat16 : ScalarType.Float32,
    };

    // Finished steps. Data go on where they stood, whatever the number of ranks was.
    private long Resume(string checkpoint)
    {
        var (history, state) = ranks.Together(() => (TrainerStateFile.Read(checkpoint), TrainingState.Read(checkpoint)));
        progress.Resume(history, state);
        if (ranks.Together(() => OptimizerFile.IsIn(checkpoint)))
        {
            ranks.Together(() => OptimizerFile.Read(checkpoint, sharding.Trainable));
            sharding.ShareUpdates();
        }
        else
        {
            reporter.Note(
                $"{checkpoint}: has weights and step {history.GlobalStep}, but no optimizer state that can be read (pickled files never are): AdamW's moments start at zero.");
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
        ranks.Together(() => GoTo(checkpoint, state));
        evaluation.WithoutImprovement = state.EvaluationsWithoutImprovement;
        return state.Step;
    }

    private void GoTo(string checkpoint, TrainingState state)
    {
        var template = recipe.Data.Template;
        if (state.Template is { } name && (name != template.Preset.Name || state.EndToken != template.EndToken))
        {
            throw new InvalidDataException(
                $"{checkpoint}: its rows had the template {name} and ended with {state.EndToken}; the recipe has {template.Preset.Name} and {template.EndToken}. "
                + "Give the recipe the checkpoint's data_config.template and data_config.end_token, or start anew.");
        }
        try
        {
            batches.GoTo(state.Data);
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"{checkpoint}: {error.Message}", error);
        }
        var steps = recipe.Training.MaxSteps ?? state.Step + batches.StepsLeft(recipe.Training.Epochs);
        if (state.WorldSize != ranks.Count)
        {
            reporter.Note($"{checkpoint}: was written by {state.WorldSize} ranks, this run has {ranks.Count}; the rows go on where they stood"
                + (recipe.Training.Packing == true ? "." : $", {recipe.Training.MicroBatchSize * recipe.Training.AccumulationSteps * DataRanks} of them a step."));
        }
        if (state.TotalSteps != steps)
        {
            reporter.Note($"{checkpoint}: was planned for {state.TotalSteps} steps, this run for {steps}; the learning rate follows the new plan.");
        }
        if (state.Seed != recipe.Training.Seed)
        {
            reporter.Note($"{checkpoint}: had seed {state.Seed}, this run has {recipe.Training.Seed}; the order of the rows changes from here on.");
        }
    }

    private static string Describe(PackingReport packing) => string.Create(
        System.Globalization.CultureInfo.InvariantCulture,
        $"rows are packed (packing: false keeps them apart): {packing.Rows} rows in {packing.MicroBatches} micro-batches of up to {packing.Limit} tokens, "
        + $"{100 * packing.Efficiency:F1} % filled");

    // As much on each rank, though one may have less memory free.
    private RecomputePlan Recomputed()
    {
        var tokens = (recipe.Batches.PackedTokens ?? ((long)data.Longest * recipe.Training.MicroBatchSize)) / recipe.Training.SequenceParallelSize;
        var layers = model.Config.LayerCount;
        var own = recipe.Training.Recompute switch
        {
            RecomputeMode.All => new RecomputePlan(layers, 0),
            RecomputeMode.CheapParts => new RecomputePlan(0, layers),
            RecomputeMode.None => new RecomputePlan(0, 0),
            _ => RecomputePlan.For(model, tokens, sharding.PassingBytes),
        };
        var plan = new RecomputePlan(ranks.Most(own.Whole), ranks.Most(own.CheapParts));
        if (plan != new RecomputePlan(0, 0))
        {
            reporter.Note($"{plan.Describe()} (of {layers}) for passes of up to {tokens} tokens");
        }
        if (plan.Whole == layers)
        {
            // Then memory counts, and logits would be the largest part of what is left.
            model.Head.ChunkRows = OutputHead.FewChunkRows;
        }
        return plan;
    }

    private string Save()
    {
        var state = new TrainingState
        {
            Step = trainer.Done,
            TotalSteps = totalSteps,
            Data = batches.Cursor,
            Seed = recipe.Training.Seed,
            UnloggedLoss = progress.UnloggedLoss,
            UnloggedSteps = progress.UnloggedSteps,
            EvaluationsWithoutImprovement = evaluation.WithoutImprovement,
            WorldSize = ranks.Count,
            Template = recipe.Data.Template.Preset.Name,
            EndToken = recipe.Data.Template.EndToken,
        };
        var folder = checkpoints.Write(state, progress.History, (int)Math.Ceiling(Math.Max(recipe.Training.Epochs, progress.History.Epoch)));
        reporter.Saved(folder);
        return folder;
    }

    // Whether training should end early.
    private bool Evaluate(CancellationToken stop) => evaluation.Run(Evaluated, sharding.Stage == 3, trainer.Done, progress.History, stop);

    // Whether it came to its end.
    private bool Test(CancellationToken stop)
    {
        if (recipe.Training.LoadBestModelAtEnd && progress.History.BestCheckpoint is { } best && progress.History.BestStep != trainer.Done)
        {
            if (ranks.Any(!Directory.Exists(best) || !OptimizerFile.IsIn(best)))
            {
                reporter.Note($"the best evaluation was at step {progress.History.BestStep}, of which no whole checkpoint is kept; the last weights are used");
            }
            else
            {
                Verify(best);
                ranks.Together(() => OptimizerFile.Read(best, sharding.Trainable));
                sharding.ShareUpdates();
                trainer.Runner.RefreshPrefix();
                reporter.Note($"the best checkpoint, {best}, is loaded for the test file");
            }
        }
        try
        {
            evaluation.Test(Evaluated, sharding.Stage == 3, stop);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private bool IsDue(IntervalStrategy strategy, StepInterval interval, StepReport report) => strategy switch
    {
        IntervalStrategy.Steps => report.Step % interval.Of(totalSteps) == 0,
        IntervalStrategy.Epoch => batches.Cursor.Examples == 0,
        IntervalStrategy.Best => progress.History.BestStep == report.Step,
        _ => false,
    };

    private void Note(IEnumerable<string> texts)
    {
        foreach (var text in texts)
        {
            reporter.Note(text);
        }
    }
}
