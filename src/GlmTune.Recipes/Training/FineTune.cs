using System.Diagnostics;
using System.Globalization;
using System.Runtime.ExceptionServices;
using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Recipes.Evaluating;
using GlmTune.Recipes.Reporting;
using GlmTune.Training;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Training;

/// <summary>Fine-tuning from files to checkpoints, on one rank or many: a single straight program that every rank
/// runs.</summary>
public sealed class FineTune
{
    private readonly RunSetup setup;
    private readonly Recipe recipe;
    private readonly RunRanks ranks;
    private readonly RankReporter reporter;
    private readonly Trainer trainer;
    private readonly TrainingBatches batches;
    private readonly EvaluationSchedule evaluation;
    private readonly RunProgress progress;
    private readonly int totalSteps;
    private readonly RunSaves saves;
    private readonly RunSentinel sentinel;

    private FineTune(RunSetup setup)
    {
        this.setup = setup;
        (recipe, ranks, reporter, trainer, batches) = (
            setup.Recipe,
            setup.Ranks,
            setup.Reporter,
            setup.Trainer,
            setup.Batches
        );
        (evaluation, progress, totalSteps) = (setup.Evaluation, setup.Progress, setup.TotalSteps);
        saves = new RunSaves(setup);
        sentinel = new RunSentinel(setup, saves);
    }

    /// <summary>Trains until the recipe's last step, or until it is cancelled; saves a checkpoint in both cases, and
    /// records the run in the output folder: log, curves, TensorBoard files.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="dataFolder">Folder with the files that the recipe names.</param>
    /// <param name="model">Model folder, or Hub id of a downloaded model.</param>
    /// <param name="resume">The checkpoint to resume from: <c>yes</c> (the newest), a step, or a checkpoint folder;
    /// null: as the recipe says.</param>
    /// <param name="reporter">Receives the events of the run, on the thread that trains; null: none. Pass a
    /// <see cref="TextReporter"/> to see them.</param>
    /// <param name="progress">Receives the progress after each step and during evaluations; null: none.</param>
    /// <param name="cancellationToken">Ends the run after the current step, with a checkpoint; the result says
    /// so.</param>
    /// <returns>The result; the task runs on a thread of its own, and on the first working GPU or the CPU.</returns>
    /// <exception cref="InvalidDataException">A file is missing, damaged or inconsistent. Nothing was
    /// changed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled before training started.</exception>
    /// <exception cref="RejectedStepException">The loss or gradient norm of a step is not finite, or a spike, and the
    /// recipe says that the run stops. The previous step is
    /// saved, unless the recipe saves nothing.</exception>
    /// <exception cref="MemoryExhaustedException">Memory ran out; the message says what to change.</exception>
    /// <exception cref="DllNotFoundException">There is no libtorch; the message says which package to
    /// add.</exception>
    public static Task<FineTuneResult> RunAsync(
        Recipe recipe,
        string dataFolder,
        string model,
        string? resume = null,
        IFineTuneReporter? reporter = null,
        IProgress<FineTuneProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(recipe);
        ArgumentException.ThrowIfNullOrWhiteSpace(dataFolder);
        ArgumentException.ThrowIfNullOrWhiteSpace(model);
        return Task.Factory.StartNew(
            () =>
            {
                NativeRuntime.Load();
                return RunLogger.Of(
                    recipe,
                    model,
                    dataFolder,
                    new ProgressReporter(reporter, progress),
                    recorded => Run(recipe, dataFolder, model, resume, recorded, cancellationToken)
                );
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default
        );
    }

    /// <summary>Trains on conversations from code. They are stored in the <c>data</c> folder of the output folder, so
    /// that the run can be resumed and repeated.</summary>
    /// <param name="recipe">The recipe; its file names are ignored.</param>
    /// <param name="conversations">The rows to train on and to evaluate.</param>
    /// <param name="model">Model folder, or Hub id of a downloaded model.</param>
    /// <param name="resume">As for the other overload.</param>
    /// <param name="reporter">As for the other overload.</param>
    /// <param name="progress">As for the other overload.</param>
    /// <param name="cancellationToken">As for the other overload.</param>
    /// <exception cref="ArgumentException">There are no rows to train on, or the recipe evaluates and there are none
    /// for that.</exception>
    /// <inheritdoc cref="RunAsync(Recipe, string, string, string?, IFineTuneReporter?, IProgress{FineTuneProgress}?,
    /// CancellationToken)"/>
    public static Task<FineTuneResult> RunAsync(
        Recipe recipe,
        ConversationSet conversations,
        string model,
        string? resume = null,
        IFineTuneReporter? reporter = null,
        IProgress<FineTuneProgress>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(recipe);
        ArgumentNullException.ThrowIfNull(conversations);
        var (named, folder) = conversations.Store(recipe);
        return RunAsync(named, folder, model, resume, reporter, progress, cancellationToken);
    }

    /// <summary>Trains until the recipe's last step, or until asked to stop; saves a checkpoint in both
    /// cases.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="dataFolder">Folder with the files that the recipe names.</param>
    /// <param name="model">Model folder, or Hub id of a downloaded model.</param>
    /// <param name="resume">The checkpoint to resume from, in the form of the command line's argument; null: as the
    /// recipe says.</param>
    /// <param name="reporter">Receives the events, on rank 0.</param>
    /// <param name="stop">Ends the run after the current step, with a checkpoint; set on any rank, it ends all.</param>
    /// <param name="ranks">The ranks, each of which makes this call with the same arguments; null: a single rank, on
    /// the first working GPU or the CPU.</param>
    /// <param name="conditions">What tests set; null: nothing.</param>
    /// <exception cref="InvalidDataException">A file is missing, damaged or inconsistent. Nothing was
    /// changed.</exception>
    /// <exception cref="RejectedStepException">The loss or gradient norm of a step is not finite, or a spike, and the
    /// recipe says that the run stops. The previous step is
    /// saved, unless the recipe saves nothing.</exception>
    /// <exception cref="SharedFailureException">With several ranks: one of the above occurred on any of
    /// them.</exception>
    /// <exception cref="LostRankException">A rank has ended or hangs (with ranks as threads; otherwise processes
    /// end).</exception>
    internal static FineTuneResult Run(
        Recipe recipe,
        string dataFolder,
        string model,
        string? resume,
        IFineTuneReporter reporter,
        CancellationToken stop,
        ICollectives? ranks = null,
        RunConditions? conditions = null
    )
    {
        NativeRuntime.Load();
        using var alone = ranks is null
            ? new SingleRank(recipe.Training.UseCpu ? CPU : NativeRuntime.DefaultDevice())
            : null;
        var all = ranks ?? alone!;
        return RankResources.Use(
            all,
            owned =>
                new FineTune(
                    new RunSetup(recipe, dataFolder, model, resume, reporter, all, owned, stop, conditions)
                ).Train(stop)
        );
    }

    private long? MemoryInUse => DeviceMemory.Of(setup.Model.Device) is { } memory ? memory.Total - memory.Free : null;

    private bool Gathers => setup.Sharding.Stage == 3;

    private ICausalLm Evaluated => Gathers ? new GatheringModel(setup.Model, setup.Sharding) : setup.Model;

    private FineTuneResult Train(CancellationToken stop)
    {
        ranks.Collectives.Activity.StartTraining();
        var watch = Stopwatch.StartNew();
        var (losses, steps) = (0.0, 0);
        var halted = trainer.Done == 0 && evaluation.IsDueOnStart && Evaluate(stop);
        var before = batches.Cursor;
        try
        {
            if (recipe.Training.MemoryProbe && trainer.Done < totalSteps && !halted)
            {
                Probe();
            }

            while (trainer.Done < totalSteps && !halted && !ranks.AnyStops(stop))
            {
                before = batches.Cursor;
                ranks.Step = trainer.Done + 1;
                if (Step(stop) is not { } report)
                {
                    continue; // the run went back to a checkpoint
                }

                (losses, steps) = report.Skipped ? (losses, steps) : (losses + report.Loss, steps + 1);
                progress.Add(report);
                reporter.Stepped(report);
                if (
                    IsDue(recipe.Training.LoggingStrategy, recipe.Training.LoggingSteps, report)
                    || (recipe.Training.LoggingFirstStep && report.Step == 1)
                )
                {
                    reporter.Logged(
                        report.Step,
                        progress.Line(report, MemoryInUse, MatmulSpeed.Of(setup.Model.Device))
                    );
                }

                if (
                    evaluation.MayFollow(report)
                    && IsDue(
                        recipe.Training.EvaluationStrategy,
                        recipe.Training.EvaluationSteps ?? recipe.Training.LoggingSteps,
                        report
                    )
                )
                {
                    halted = Evaluate(stop);
                }

                saves.Advance(stop);
                if (IsDue(recipe.Training.SaveStrategy, recipe.Training.SaveSteps, report))
                {
                    saves.Save(isLast: report.Step == totalSteps, stop);
                }
            }
        }
        catch (RejectedStepException error)
        {
            // The failed step is not done, so its rows are used again. All ranks get here, because loss and norm are
            // global.
            batches.Cursor = before;
            saves.SaveLast(stop);
            ranks.RunOnAllOrFail(() => ExceptionDispatchInfo.Throw(error));
        }
        catch (Exception error)
            when (error is not MemoryExhaustedException && AllocationFailure.Find(error) is { } failure)
        {
            batches.Cursor = before;
            throw new MemoryExhaustedException(failure, AfterFailure(), error);
        }

        saves.SaveLast(stop);
        var stopped = ranks.AnyStops(stop) || !Test(stop);
        return new FineTuneResult(trainer.Done, losses / steps, watch.Elapsed, saves.Newest, stopped);
    }

    // Null if the run went back to a checkpoint because of the step.
    private StepReport? Step(CancellationToken stop)
    {
        var step = batches.Next();
        try
        {
            var report = trainer.Step(step);
            sentinel.Accepted(report);
            return report;
        }
        catch (RejectedStepException rejected)
        {
            return sentinel.Handle(rejected.Trouble, stop);
        }
    }

    private void Probe()
    {
        ranks.Step = trainer.Done + 1;
        var longest = batches.Longest();
        var seconds = trainer.Probe(longest).TotalSeconds;
        var batch = longest.MicroBatches[0];
        var memory = MemoryInUse is { } bytes ? $"; {ByteCount.Text(bytes)} are in use" : "";
        reporter.Note(
            string.Create(
                CultureInfo.InvariantCulture,
                $"memory probe (memory_probe: false disables this): the longest rows ({batch.Examples.Length} rows, "
                    + $"{batch.TokenIds.Length} tokens) took {seconds:F2} s, without an update{memory}"
            )
        );
    }

    // What remains of a run that ran out of memory, and what to change. With several ranks, the others are still in the
    // step and cannot take part in a checkpoint.
    private string AfterFailure()
    {
        var kept = ranks.IsAlone ? saves.AfterFailure() : saves.DescribeNewest();
        return setup.Memory is { } memory ? $"{kept} {memory.AdviceAfterFailure()}" : kept;
    }

    // Whether training should stop early.
    private bool Evaluate(CancellationToken stop) =>
        evaluation.Run(Evaluated, Gathers, trainer.Done, progress.History, stop);

    // Whether it ran to the end.
    private bool Test(CancellationToken stop)
    {
        if (!evaluation.Tests)
        {
            return true;
        }

        var weights = TestedWeights.Load(
            recipe.Training,
            progress.History,
            trainer,
            ranks,
            setup.Search,
            reporter.Note
        );
        try
        {
            evaluation.Test(Evaluated, Gathers, weights, stop);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private bool IsDue(IntervalStrategy strategy, StepInterval interval, StepReport report) =>
        strategy switch
        {
            IntervalStrategy.Steps => report.Step % interval.Of(totalSteps) == 0,
            IntervalStrategy.Epoch => batches.Cursor.Examples == 0,
            IntervalStrategy.Best => progress.History.BestStep == report.Step,
            _ => false,
        };
}
