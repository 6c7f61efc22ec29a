using System.Diagnostics;
using GlmTune.Data.Batching;
using GlmTune.Kernels;
using GlmTune.Model.Layers;
using GlmTune.Training.Capture;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sentinel;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training;

/// <summary>Updates weights step by step: forward and backward over the micro-batches of a step, clipping,
/// AdamW.</summary>
/// <remarks>Gradients are divided once by the number of supervised tokens in the whole step over all ranks, so 1 × 8, 2
/// × 4 and 8 × 1 micro-batches give the same update. A step whose loss or gradient norm is not finite, or a spike, is
/// rejected before anything is changed.</remarks>
/// <param name="runner">Runs the model.</param>
/// <param name="sharding">How parameters are distributed over the ranks.</param>
/// <param name="optimizer">Settings of AdamW.</param>
/// <param name="schedule">The learning-rate schedule.</param>
/// <param name="seed">Seed of the run.</param>
/// <param name="rank">Number of this rank: each rank has different dropout masks.</param>
internal sealed class Trainer(
    LayerRunner runner,
    ISharding sharding,
    OptimizerOptions optimizer,
    LearningRateSchedule schedule,
    long seed,
    int rank = 0
) : IDisposable
{
    private StepCapture? capture;
    private OptimizerStep? plainUpdate;
    private bool captureTried;
    private StepReport? last;

    /// <summary>Number of finished steps.</summary>
    public long Done { get; set; }

    /// <summary>How many of them left weights and optimizer state as they were.</summary>
    public long Skipped { get; private set; }

    /// <summary>Finds losses and gradient norms far above the usual.</summary>
    public SpikeWatch Spikes { get; init; } = new(factor: 0, window: 1);

    /// <summary>Whether weights and optimizer are those of <see cref="Done"/> steps: false after an update that failed
    /// half-way, whose weights are not to be saved.</summary>
    public bool IsWhole { get; private set; } = true;

    /// <summary>Creates the pass of a micro-batch; null: one that contains all of its tokens.</summary>
    public Func<MicroBatch, TrainingPass>? MakePass { get; init; }

    /// <summary>Number of ranks that share each micro-batch.</summary>
    public int SharedBy { get; init; } = 1;

    /// <summary>Whether small steps are captured as CUDA graphs where possible.</summary>
    public bool CapturesSmallSteps { get; init; } = true;

    /// <summary>Small steps' captures; null: none were made.</summary>
    public StepCapture? Capture
    {
        get => capture;
        internal init => (capture, captureTried) = (value, true);
    }

    /// <summary>Called before weights or optimizer state change, on the thread that trains: waits for whoever still
    /// copies them. Null: nobody does.</summary>
    public Action? BeforeUpdate { get; set; }

    /// <summary>Runs a micro-batch of the model.</summary>
    public LayerRunner Runner => runner;

    /// <summary>How parameters are distributed over the ranks.</summary>
    public ISharding Sharding => sharding;

    /// <summary>Runs one step.</summary>
    /// <param name="batches">This rank's micro-batches.</param>
    /// <exception cref="RejectedStepException">Loss or gradient norm is not finite, or a spike; nothing was
    /// changed.</exception>
    /// <remarks>A step that fails before its update (out of memory, say) leaves weights and optimizer as they were and
    /// no gradient, and can be made again. One that fails within it leaves <see cref="IsWhole"/> false. Where layers
    /// are updated behind the backward pass, the update begins with that pass.</remarks>
    public StepReport Step(StepBatches batches)
    {
        var watch = Stopwatch.StartNew();
        if (batches.SupervisedTokens == 0)
        {
            return Skip(ReportOf(double.NaN, double.NaN, batches, watch));
        }

        try
        {
            var report = Measure(batches, watch);
            if (!sharding.UpdatesByLayer)
            {
                BeforeUpdate?.Invoke();
                IsWhole = false;
                Update.Apply(schedule.After(Done), NextUpdate);
            }

            runner.RefreshPrefix();
            Done++;
            IsWhole = true;
            Spikes.Add(report.Loss, report.GradientNorm);
            return last = report with
            {
                Elapsed = watch.Elapsed,
                Memory = MemoryUse.Of(runner, sharding),
                Flops = batches.MicroBatches.Sum(Flops) / SharedBy,
            };
        }
        catch (RejectedStepException rejected)
        {
            DropGradients();
            // Layers that were updated already would not repeat what happened.
            throw rejected.Trouble is { IsSpike: false } trouble && IsWhole
                ? new RejectedStepException(trouble with { Origin = FindOrigin(batches) })
                : rejected;
        }
        catch
        {
            DropGradients();
            throw;
        }
    }

    /// <summary>Counts a step without changing weights and optimizer state.</summary>
    /// <param name="report">The step, rejected or without supervised tokens.</param>
    public StepReport Skip(StepReport report)
    {
        Done++;
        Skipped++;
        return report with { Skipped = true };
    }

    /// <summary>Continues after weights and optimizer state were replaced by those of a checkpoint.</summary>
    /// <param name="done">Number of steps that it has finished.</param>
    /// <param name="skipped">How many of them were skipped.</param>
    /// <param name="losses">Losses of its last accepted steps.</param>
    /// <param name="norms">Their gradient norms.</param>
    public void Restore(long done, long skipped, IEnumerable<double> losses, IEnumerable<double> norms)
    {
        (Done, Skipped, IsWhole) = (done, skipped, true);
        Spikes.Restore(losses, norms);
        runner.RefreshPrefix();
    }

    /// <summary>Runs the passes of a step without its update: weights, optimizer state and the numbers of later steps
    /// stay the same to the bit.</summary>
    /// <param name="batches">This rank's micro-batches.</param>
    /// <returns>How long they took.</returns>
    /// <exception cref="Exception">Whatever a step may fail with, such as too little memory.</exception>
    public TimeSpan Probe(StepBatches batches)
    {
        using var scope = NewDisposeScope();
        var watch = Stopwatch.StartNew();
        try
        {
            (sharding.CurrentStep, sharding.Seed) = (Done + 1, seed);
            var loss = Accumulate(batches, sharding.UpdatesByLayer ? (layer, _) => Drop(layer) : null);
            sharding.FinishGradients();
            sharding.Sum(loss.to_type(ScalarType.Float64).item<double>());
            return watch.Elapsed;
        }
        finally
        {
            DropGradients();
        }
    }

    private double Flops(MicroBatch batch) =>
        StepFlops.Of(
            runner.Model.Config,
            trainsWeights: runner.Model.BaseParameters.Any(parameter => parameter.Trainable),
            batch
        );

    private void Drop(Layer layer)
    {
        sharding.FinishGradients();
        foreach (var shard in sharding.ShardsOf(layer))
        {
            shard.ClearGradient(release: true);
        }
    }

    // Passes, gradients and their norm: all of a step that changes nothing, unless layers are updated behind the
    // backward pass.
    private StepReport Measure(StepBatches batches, Stopwatch watch)
    {
        using var scope = NewDisposeScope();
        (sharding.CurrentStep, sharding.Seed) = (Done + 1, seed);
        Action<Layer, Tensor>? reduced = sharding.UpdatesByLayer
            ? (layer, loss) => UpdateBehindBackward(layer, loss, batches, watch)
            : null;
        if (reduced is not null)
        {
            RequireUpdatesByLayer(batches);
            Update.BeginLayers();
        }

        var sum = Accumulate(batches, reduced);
        sharding.FinishGradients();
        var (total, norm) = reduced is null ? Update.Measure(sum) : Update.FinishLayers(sum);
        var report = ReportOf(sharding.Sum(total), norm, batches, watch);
        Check(report, batches);
        return report;
    }

    // The gradients of all micro-batches, and their summed loss on the device.
    private Tensor Accumulate(StepBatches batches, Action<Layer, Tensor>? reduced)
    {
        Tensor? sum = null;
        for (var i = 0; i < batches.MicroBatches.Count; i++)
        {
            using var pass = PassOf(batches.MicroBatches[i]);
            TryCapture(pass);
            var scale = 1.0 / batches.SupervisedTokens;
            var loss =
                capture?.Passes.TryRun(pass, scale, DropoutSeed(i))
                ?? runner.ForwardBackward(pass, scale, DropoutSeed(i), i == batches.MicroBatches.Count - 1, reduced);
            sum = sum is null ? loss : sum.AddInPlace(loss);
        }

        return sum!;
    }

    private TrainingPass PassOf(MicroBatch batch) =>
        MakePass?.Invoke(batch) ?? TrainingPass.Of(batch, runner.Model.Device);

    // Repeats the passes of a step, on every rank, and looks at what each layer makes.
    private TroubleOrigin? FindOrigin(StepBatches batches)
    {
        using var scope = NewDisposeScope();
        var search = new NonFiniteSearch();
        try
        {
            runner.Search = search;
            for (var i = 0; i < batches.MicroBatches.Count; i++)
            {
                using var pass = PassOf(batches.MicroBatches[i]);
                search.Begin(batches.MicroBatches[i], pass);
                runner.ForwardBackward(
                    pass,
                    1.0 / batches.SupervisedTokens,
                    DropoutSeed(i),
                    i == batches.MicroBatches.Count - 1,
                    sharding.UpdatesByLayer ? (layer, _) => Drop(layer) : null
                );
            }

            sharding.FinishGradients();
        }
        finally
        {
            runner.Search = null;
            DropGradients();
        }

        return search.Found;
    }

    // AdamW's own count, from 1: a skipped step is no update.
    private long NextUpdate => Done + 1 - Skipped;

    private StepReport ReportOf(double loss, double norm, StepBatches batches, Stopwatch watch) =>
        new(
            Done + 1,
            loss / batches.SupervisedTokens,
            norm,
            schedule.After(Done + 1),
            batches.Epoch,
            batches.Tokens,
            batches.SupervisedTokens,
            batches.Examples,
            watch.Elapsed
        );

    private void RequireUpdatesByLayer(StepBatches batches)
    {
        if (optimizer.MaxGradientNorm > 0 || batches.MicroBatches.Count > 1)
        {
            throw new InvalidOperationException(
                "Layers can be updated behind the backward pass only without gradient clipping and with one "
                    + "micro-batch per step."
            );
        }
    }

    // The loss is known before any gradient, so a bad one stops the step while everything is as it was.
    private void UpdateBehindBackward(Layer layer, Tensor loss, StepBatches batches, Stopwatch watch)
    {
        if (IsWhole)
        {
            using var scope = NewDisposeScope();
            Check(ReportOf(loss.to_type(ScalarType.Float64).cpu().item<double>(), 0, batches, watch), batches);
            BeforeUpdate?.Invoke();
            IsWhole = false;
        }

        Update.Apply(layer, schedule.After(Done), NextUpdate);
    }

    private void DropGradients()
    {
        using var scope = NewDisposeScope();
        sharding.DropGradients();
        foreach (var parameter in runner.Model.Parameters)
        {
            parameter.ClearGradient();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        capture?.Dispose();
        plainUpdate?.Dispose();
        (capture, plainUpdate) = (null, null);
    }

    // Created with the first pass.
    private void TryCapture(TrainingPass pass)
    {
        if (captureTried || !CapturesSmallSteps || pass.Exchange is not null)
        {
            return;
        }

        captureTried = true;
        capture = StepCapture.TryCreate(runner, sharding, optimizer, seed);
    }

    private OptimizerStep Update =>
        capture?.Update ?? (plainUpdate ??= new OptimizerStep(sharding, runner.Model.Kernels, optimizer, seed));

    /// <summary>Checks whether everything that was trained is finite, so that nothing else is ever saved.</summary>
    /// <exception cref="InvalidDataException">Weights or optimizer state of this rank are not; the message names the
    /// parameters.</exception>
    public void CheckFinite() => FiniteState.Check(sharding.Trainable, Done);

    private void Check(StepReport report, StepBatches batches)
    {
        (string What, double Value, double? Median) found =
            !double.IsFinite(report.Loss) ? ("loss", report.Loss, null)
            : !double.IsFinite(report.GradientNorm) ? ("gradient norm", report.GradientNorm, null)
            : Spikes.Find(report.Loss, report.GradientNorm) is { } spike ? (spike.What, spike.Value, spike.Median)
            : default;
        if (found.What is not null)
        {
            throw new RejectedStepException(
                new StepTrouble(
                    report,
                    found.What,
                    found.Value,
                    found.Median,
                    last,
                    Changed: !IsWhole,
                    [.. batches.MicroBatches.SelectMany(batch => batch.Examples)]
                )
                {
                    Largest =
                        double.IsFinite(report.Loss) && !sharding.UpdatesByLayer
                            ? FiniteState.LargestGradient(sharding.Trainable)
                            : null,
                }
            );
        }
    }

    // Step, micro-batch and rank each offset the seed by a different odd constant.
    private long DropoutSeed(int microBatch) =>
        unchecked(
            (seed * 0x2545F4914F6CDD1D)
            ^ (Done * 0x5851F42D4C957F2D)
            ^ ((microBatch + 1L) * 0x14057B7EF767814F)
            ^ ((rank + 1L) * 0x369DEA0F31A53F85)
        );
}
