using System.Diagnostics;
using GlmTune.Data.Batching;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation;
using GlmTune.Inference;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Glm4;
using GlmTune.Training;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>Fine-tuning from files to checkpoints: one straight program.</summary>
public sealed class FineTune : IDisposable
{
    private readonly Recipe recipe;
    private readonly IFineTuneReporter reporter;
    private readonly Glm4Model model;
    private readonly TrainedWeights trained;
    private readonly ReplicatedWeights sharding;
    private readonly Trainer trainer;
    private readonly TrainingSet examples;
    private readonly TrainingEvaluation? validation;
    private readonly EvaluationRun? test;
    private readonly TrainingBatches batches;
    private readonly RunCheckpoints checkpoints;
    private readonly int totalSteps;
    private readonly int paddingId;
    private TrainerStateFile history = new();
    private double unloggedLoss;
    private int unloggedSteps;
    private int withoutImprovement;

    private FineTune(Recipe given, string dataFolder, string model, string? resume, IFineTuneReporter reporter, CancellationToken stop)
    {
        this.reporter = reporter;
        var modelFolder = ModelReference.Resolve(model);
        var config = Glm4Config.Read(modelFolder);
        recipe = given.Plan(config.HiddenSize, worldSize: 1).Recipe;
        foreach (var note in recipe.Notes)
        {
            reporter.Note(note);
        }
        AtomicFolder.RemoveStale(recipe.Training.OutputFolder);
        var checkpoint = CheckpointFolder.Resolve(recipe.Training.OutputFolder, resume ?? recipe.ResumeFrom);
        if (checkpoint is not null && File.Exists(Path.Combine(checkpoint, FolderManifest.FileName)))
        {
            FolderManifest.Verify(checkpoint);
        }

        var tokenizer = TokenizerFile.Read(modelFolder);
        var template = new Glm4Template(tokenizer, recipe.Data.Template);
        paddingId = tokenizer.Special.Padding;
        examples = ReadRows(Path.Combine(dataFolder, recipe.Data.TrainFile), template, recipe.Data.TrainRows, stop);
        var generation = GenerationConfigFile.ReadFolder(modelFolder);
        validation = recipe.Data.ValidationFile is { } file && recipe.Training.EvaluationStrategy != IntervalStrategy.No
            ? new TrainingEvaluation(recipe, template, Path.Combine(dataFolder, file), recipe.Training.OutputFolder, generation, stop)
            : null;
        var testData = recipe.Data.TestFile is { } last
            ? EvaluationData.Read(Path.Combine(dataFolder, last), template, recipe.Data.TestRows, recipe.Training.PredictWithGenerate, stop)
            : null;
        test = testData is null ? null : GlmTune.Recipes.Evaluate.Prepare(recipe, tokenizer, testData, generation);
        foreach (var note in (validation?.Data.Notes ?? []).Concat(testData?.Notes ?? []))
        {
            reporter.Note(note);
        }

        NativeRuntime.Load();
        var device = recipe.Training.UseCpu ? CPU : NativeRuntime.DefaultDevice();
        var onGpu = device.type == DeviceType.CUDA;
        var type = recipe.Training.Precision switch
        {
            Precision.Float32 => ScalarType.Float32,
            Precision.BFloat16 => ScalarType.BFloat16,
            _ => onGpu ? ScalarType.BFloat16 : ScalarType.Float32,
        };
        var wholeModel = recipe.Lora is null && recipe.Prefix is null;
        this.model = ModelFolder.Load(wholeModel && checkpoint is not null ? checkpoint : modelFolder, type, device);
        trained = TrainedWeights.Prepare(this.model, recipe, checkpoint, () => PrefixText(tokenizer));
        sharding = new ReplicatedWeights(this.model.Units);
        batches = new TrainingBatches(examples, recipe.Batches, paddingId);
        totalSteps = recipe.Training.MaxSteps ?? batches.StepsFor(recipe.Training.Epochs);
        trainer = new Trainer(
            new LayerRunner(this.model, sharding, RecomputedLayers()), sharding,
            recipe.Optimizer, new LearningRateSchedule(recipe.Optimizer.LearningRate, recipe.Schedule, totalSteps), recipe.Training.Seed);
        checkpoints = new RunCheckpoints(recipe, modelFolder, model, trained, trainer);
        if (checkpoint is not null)
        {
            Resume(checkpoint);
        }
        reporter.Started(new FineTuneStart(
            examples.Count, totalSteps, trainer.Done, recipe.Training.MicroBatchSize, recipe.Training.AccumulationSteps, 1, trained.Count,
            this.model.Parameters.Sum(parameter => parameter.Count), device.ToString(), type.ToString())
        {
            Recipe = recipe,
        });
    }

    /// <summary>Trains until the recipe's last step, or until asked to stop; saves at the end either way.</summary>
    /// <param name="recipe">What to do.</param>
    /// <param name="dataFolder">Holds the files that the recipe names.</param>
    /// <param name="model">Model folder, or hub id of a downloaded model.</param>
    /// <param name="resume">Which checkpoint to go on from, as the command line has it; null: the recipe's own word.</param>
    /// <param name="reporter">Hears what happens.</param>
    /// <param name="stop">Ends the run after the current step, with a checkpoint.</param>
    /// <exception cref="InvalidDataException">A file is missing, damaged or does not fit; nothing was changed.</exception>
    /// <exception cref="NonFiniteStepException">A step's loss or gradient norm is not finite; the step before is saved.</exception>
    public static FineTuneResult Run(
        Recipe recipe, string dataFolder, string model, string? resume, IFineTuneReporter reporter, CancellationToken stop)
    {
        using var run = new FineTune(recipe, dataFolder, model, resume, reporter, stop);
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

    private FineTuneResult Train(CancellationToken stop)
    {
        var watch = Stopwatch.StartNew();
        var (losses, steps) = (0.0, 0);
        string? saved = null;
        var savedStep = trainer.Done;
        var halted = false;
        var before = batches.Cursor;
        try
        {
            while (trainer.Done < totalSteps && !halted && !stop.IsCancellationRequested)
            {
                before = batches.Cursor;
                var report = trainer.Step(batches.Next(), index => examples[index].Line);
                (losses, steps) = (losses + report.Loss, steps + 1);
                (unloggedLoss, unloggedSteps) = (unloggedLoss + report.Loss, unloggedSteps + 1);
                history.Epoch = report.Epoch;
                history.TokensSeen += report.Tokens;
                reporter.Stepped(report);
                if (IsDue(recipe.Training.LoggingStrategy, recipe.Training.LoggingSteps, report)
                    || (recipe.Training.LoggingFirstStep && report.Step == 1))
                {
                    Log(report);
                }
                if (validation is not null && IsDue(recipe.Training.EvaluationStrategy, recipe.Training.EvaluationSteps ?? recipe.Training.LoggingSteps, report))
                {
                    halted = EvaluateUnlessStopped(report, stop);
                }
                if (IsDue(recipe.Training.SaveStrategy, recipe.Training.SaveSteps, report))
                {
                    (saved, savedStep) = (Save(), report.Step);
                }
            }
        }
        catch (NonFiniteStepException) when (trainer.Done > savedStep)
        {
            // The step that failed is not done, so its rows come again.
            batches.Cursor = before;
            Save();
            throw;
        }
        if (trainer.Done > savedStep && recipe.Training.SaveStrategy != IntervalStrategy.No)
        {
            saved = Save();
        }
        if (!stop.IsCancellationRequested)
        {
            Test(stop);
        }
        return new FineTuneResult(trainer.Done, losses / Math.Max(1, steps), watch.Elapsed, saved, stop.IsCancellationRequested);
    }

    private void Resume(string checkpoint)
    {
        history = TrainerStateFile.Read(checkpoint);
        var state = TrainingState.Read(checkpoint);
        trainer.Done = state?.Step ?? history.GlobalStep;
        if (OptimizerFile.IsIn(checkpoint))
        {
            OptimizerFile.Read(checkpoint, sharding.Trainable);
            sharding.ShareUpdates();
        }
        else
        {
            reporter.Note(
                $"{checkpoint}: has weights and step {trainer.Done}, but no optimizer state that can be read (pickled files never are): AdamW's moments start at zero.");
        }
        if (state is null)
        {
            // Another program's checkpoint: pass over as many batches as its steps used.
            for (var step = 0L; step < trainer.Done; step++)
            {
                batches.Next();
            }
            return;
        }
        try
        {
            batches.GoTo(state.Data);
        }
        catch (ArgumentException error)
        {
            throw new InvalidDataException($"{checkpoint}: {error.Message}", error);
        }
        (unloggedLoss, unloggedSteps, withoutImprovement) = (state.UnloggedLoss, state.UnloggedSteps, state.EvaluationsWithoutImprovement);
        if (state.TotalSteps != totalSteps)
        {
            reporter.Note($"{checkpoint}: was planned for {state.TotalSteps} steps, this run for {totalSteps}; the learning rate follows the new plan.");
        }
        if (state.Seed != recipe.Training.Seed)
        {
            reporter.Note($"{checkpoint}: had seed {state.Seed}, this run has {recipe.Training.Seed}; the order of the rows changes from here on.");
        }
    }

    private int RecomputedLayers()
    {
        var longest = (long)examples.Max(example => example.TokenIds.Length);
        var tokens = recipe.Batches.PackedTokens ?? (longest * recipe.Training.MicroBatchSize);
        var count = recipe.Training.Recompute switch
        {
            RecomputeMode.All => model.Config.LayerCount,
            RecomputeMode.None => 0,
            _ => RecomputePlan.LayersFor(model, tokens),
        };
        if (count > 0)
        {
            reporter.Note($"{count} of {model.Config.LayerCount} layers are recomputed for passes of up to {tokens} tokens");
        }
        return count;
    }

    private string Save()
    {
        var state = new TrainingState
        {
            Step = trainer.Done,
            TotalSteps = totalSteps,
            Data = batches.Cursor,
            Seed = recipe.Training.Seed,
            UnloggedLoss = unloggedLoss,
            UnloggedSteps = unloggedSteps,
            EvaluationsWithoutImprovement = withoutImprovement,
        };
        var folder = checkpoints.Write(state, history, (int)Math.Ceiling(Math.Max(recipe.Training.Epochs, history.Epoch)));
        reporter.Saved(folder);
        return folder;
    }

    private void Log(StepReport report)
    {
        var values = new Dictionary<string, double>
        {
            ["loss"] = Math.Round(unloggedLoss / unloggedSteps, 4),
            ["grad_norm"] = report.GradientNorm,
            ["learning_rate"] = report.LearningRate,
        };
        (unloggedLoss, unloggedSteps) = (0, 0);
        history.Log(report.Step, report.Epoch, values);
        reporter.Logged(report.Step, values);
    }

    // A run that is asked to stop during an evaluation saves where it is; the evaluation is lost, the training is not.
    private bool EvaluateUnlessStopped(StepReport report, CancellationToken stop)
    {
        try
        {
            return Evaluate(report, stop);
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    // Whether training should end early.
    private bool Evaluate(StepReport report, CancellationToken stop)
    {
        var found = validation!.Run(model, report.Step, reporter.Evaluating, stop);
        history.Log(report.Step, report.Epoch, found.Metrics);
        reporter.Evaluated(report.Step, found.Metrics);
        reporter.Answered(report.Step, found.Samples());
        return StopsEarly(report.Step, found.Metrics);
    }

    // The scores of the test file stay beside the checkpoints.
    private void Test(CancellationToken stop)
    {
        if (recipe.Training.LoadBestModelAtEnd && history.BestCheckpoint is { } best && history.BestStep != trainer.Done)
        {
            if (Directory.Exists(best) && OptimizerFile.IsIn(best))
            {
                OptimizerFile.Read(best, sharding.Trainable);
                sharding.ShareUpdates();
                trainer.Runner.RefreshPrefix();
                reporter.Note($"the best checkpoint, {best}, is loaded for the test file");
            }
            else
            {
                reporter.Note($"the best evaluation was at step {history.BestStep}, of which no whole checkpoint is kept; the last weights are used");
            }
        }
        if (test is null)
        {
            return;
        }
        var found = test.Run(model, reporter.Evaluating, stop);
        EvaluationFiles.OfSplit(recipe.Training.OutputFolder, "test").Write(found);
        reporter.Tested(found.Metrics);
    }

    private bool StopsEarly(long step, IReadOnlyDictionary<string, double> values)
    {
        var name = recipe.Training.MetricForBestModel ?? "loss";
        var key = name.StartsWith("eval_", StringComparison.Ordinal) ? name : "eval_" + name;
        if (!values.TryGetValue(key, out var value))
        {
            return false;
        }
        var greater = recipe.Training.GreaterIsBetter ?? !(key.EndsWith("loss", StringComparison.Ordinal) || key.EndsWith("perplexity", StringComparison.Ordinal));
        var gain = history.BestMetric is { } best ? (greater ? value - best : best - value) : double.PositiveInfinity;
        withoutImprovement = gain > recipe.Training.EarlyStoppingThreshold ? 0 : withoutImprovement + 1;
        if (gain > 0)
        {
            (history.BestMetric, history.BestStep) = (value, step);
            history.BestCheckpoint = CheckpointFolder.PathOf(recipe.Training.OutputFolder, step);
        }
        return recipe.Training.EarlyStoppingPatience is { } patience && withoutImprovement >= patience;
    }

    private bool IsDue(IntervalStrategy strategy, StepInterval interval, StepReport report) => strategy switch
    {
        IntervalStrategy.Steps => report.Step % interval.Of(totalSteps) == 0,
        IntervalStrategy.Epoch => batches.Cursor.Examples == 0,
        IntervalStrategy.Best => history.BestStep == report.Step,
        _ => false,
    };

    // The recipe's text, or the first training prompts: what comes before the first answer of each row.
    private int[] PrefixText(Tokenizer tokenizer)
        => recipe.Prefix?.InitializationText is { Length: > 0 } text
            ? tokenizer.Encode(text)
            : [.. examples.SelectMany(example => example.TokenIds.Take(example.Supervised[0].Start)).Take(recipe.Prefix?.VirtualTokens ?? 0)];

    private TrainingSet ReadRows(string path, Glm4Template template, ExampleOptions options, CancellationToken stop)
    {
        var set = TrainingSet.Read(path, template, options, stop);
        if (set.Report.Skipped > 0)
        {
            reporter.Note($"{path}: {set.Report.Skipped} of {set.Report.Rows} rows were skipped: {set.Report.Problems[0]}{(set.Report.Problems.Count > 1 ? ", …" : "")}");
        }
        if (set.Report.Cut > 0)
        {
            reporter.Note(
                $"{path}: {set.Report.Cut} of {set.Report.Rows} rows were cut to {template.Options.MaxTrainingTokens} tokens"
                + (set.Report.LostTheirEnd > 0 ? $", and {set.Report.LostTheirEnd} lost the token that teaches stopping: raise max_input_length or max_output_length." : "."));
        }
        return set;
    }
}
