using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Model.Layers;
using GlmTune.Training.Capture;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Optimization;

/// <summary>What follows the passes of a step: the gradient norm, clipping, and AdamW on every shard. Runs directly, or
/// captured if a way to capture is given. Not thread-safe.</summary>
internal sealed class OptimizerStep : IDisposable
{
    private readonly ISharding sharding;
    private readonly LayerKernels kernels;
    private readonly OptimizerOptions options;
    private readonly long seed;
    private readonly Tensor numbers;
    private readonly Tensor clip;
    private readonly Tensor squares;
    private readonly Captured? captured;

    /// <param name="sharding">How parameters are distributed over the ranks.</param>
    /// <param name="kernels">Layer functions of the device.</param>
    /// <param name="options">Settings of AdamW.</param>
    /// <param name="seed">Seed of the run, from which stochastic rounding follows.</param>
    /// <param name="runAndCapture">Captures the work; null: it runs each time.</param>
    public OptimizerStep(
        ISharding sharding,
        LayerKernels kernels,
        OptimizerOptions options,
        long seed,
        RunAndCapture? runAndCapture = null
    )
    {
        (this.sharding, this.kernels, this.options, this.seed) = (sharding, kernels, options, seed);
        var (type, device) = (sharding.Trainable[0].Type, sharding.Trainable[0].Layout.Device);
        numbers = zeros(2, ScalarType.Float64, device).DetachFromDisposeScope();
        clip = zeros(1, type, device).squeeze().DetachFromDisposeScope();
        squares = zeros(1, type, device).squeeze().DetachFromDisposeScope();
        captured = runAndCapture is null ? null : new Captured(runAndCapture, type, device);
    }

    /// <summary>The given summed loss and the gradient norm; waits for them.</summary>
    /// <param name="loss">Scalar of the shards' type, on the device.</param>
    public (double Loss, double Norm) Measure(Tensor loss)
    {
        if (captured is { Refused: false })
        {
            captured.Loss.copy_(loss);
            captured.Measure(() => Measure(captured.Loss, numbers));
        }
        else
        {
            Measure(loss, numbers);
        }

        using var host = numbers.cpu();
        var values = host.data<double>();
        return (values[0], values[1]);
    }

    /// <summary>Updates all shards with the measured gradients, clears these, and copies the values to the
    /// parameters.</summary>
    /// <param name="rate">Learning rate.</param>
    /// <param name="step">Number of this update, from 1.</param>
    public void Apply(double rate, long step)
    {
        var update = NumbersOf(rate, step);
        if (captured is { Refused: false })
        {
            captured.SetNumbers(ref update);
            captured.Apply(() => Apply(update));
        }
        else
        {
            Apply(update);
        }
    }

    /// <summary>Starts an update layer by layer, without clipping.</summary>
    public void BeginLayers()
    {
        clip.FillInPlace(1);
        squares.zero_();
    }

    /// <summary>Updates the shards of a layer whose gradients have been reduced, and releases these.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="rate">Learning rate.</param>
    /// <param name="step">Number of this update, from 1.</param>
    public void Apply(Layer layer, double rate, long step)
    {
        using var scope = NewDisposeScope();
        var update = NumbersOf(rate, step);
        sharding.FinishGradients();
        foreach (var shard in sharding.ShardsOf(layer))
        {
            squares.AddInPlace(GradientNorm.SumOfSquares(shard.Gradient));
            Update(shard, update);
            sharding.StreamedOptimizer?.Enqueue();
            shard.ClearGradient(release: true);
        }
    }

    /// <summary>The given summed loss and the norm of all gradients since <see cref="BeginLayers"/>; waits for
    /// them.</summary>
    /// <param name="loss">Scalar of the shards' type, on the device.</param>
    public (double Loss, double Norm) FinishLayers(Tensor loss)
    {
        using var scope = NewDisposeScope();
        sharding.StreamedOptimizer?.Finish();
        sharding.ShareUpdates();
        var host = stack([loss.to_type(ScalarType.Float64), squares.to_type(ScalarType.Float64)]).cpu().data<double>();
        return (host[0], Math.Sqrt(host[1]));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        captured?.Dispose();
        numbers.Dispose();
        clip.Dispose();
        squares.Dispose();
    }

    private void Measure(Tensor loss, Tensor found)
    {
        using var scope = NewDisposeScope();
        var norm = GradientNorm.Of(sharding);
        clip.copy_(GradientNorm.ClipFactor(norm, options.MaxGradientNorm));
        found.copy_(stack([loss.to_type(ScalarType.Float64), norm.to_type(ScalarType.Float64)]));
    }

    private UpdateNumbers NumbersOf(double rate, long step)
    {
        var plain = new AdamWStep(rate, options.Beta1, options.Beta2, options.Epsilon, 0, step);
        return new(plain, plain with { WeightDecay = options.WeightDecay }, StepSeed.OfUpdate(seed, step));
    }

    private void Apply(UpdateNumbers update)
    {
        using var scope = NewDisposeScope();
        if (sharding.HostOptimizer is { } host)
        {
            var factor = clip.to_type(ScalarType.Float64).cpu().item<double>();
            foreach (var shard in sharding.Trainable)
            {
                host.Update(shard, factor, update.For(shard));
            }

            host.Finish();
        }
        else
        {
            foreach (var shard in sharding.Trainable)
            {
                Update(shard, update);
            }

            sharding.StreamedOptimizer?.Enqueue();
        }

        foreach (var shard in sharding.Trainable)
        {
            shard.ClearGradient();
        }

        sharding.StreamedOptimizer?.Finish();
        sharding.ShareUpdates();
    }

    private void Update(FlatShard shard, UpdateNumbers update)
    {
        var settings = update.For(shard);
        if (sharding.StreamedOptimizer is { } streamed)
        {
            streamed.Update(shard, clip, settings, update.Rounding);
        }
        else
        {
            ShardUpdate.Run(kernels, shard, clip, settings, update.Rounding);
        }
    }

    // The numbers of one update: with and without weight decay, and the seed of its rounding.
    private readonly record struct UpdateNumbers(AdamWStep Plain, AdamWStep Decaying, MaskSeed Rounding)
    {
        public AdamWStep For(FlatShard shard) => shard.Decays ? Decaying : Plain;
    }

    // Inputs that a captured graph reads at each replay, and its two halves.
    private sealed class Captured(RunAndCapture runAndCapture, ScalarType type, Device device) : IDisposable
    {
        private readonly StagedTensors factors = new(device, (type, 3), (type, 3), (ScalarType.Int32, 1));
        private Action? measure;
        private Action? apply;

        public Tensor Loss { get; } = zeros(1, type, device).squeeze().DetachFromDisposeScope();

        /// <summary>Whether the capture failed, in which case the work runs each time.</summary>
        public bool Refused { get; private set; }

        public void Measure(Action work) => Do(ref measure, work);

        public void Apply(Action work) => Do(ref apply, work);

        // The numbers of a step in device memory, for kernels.
        public void SetNumbers(ref UpdateNumbers update)
        {
            factors.Begin();
            Fill(0, update.Plain);
            Fill(1, update.Decaying);
            factors.Host<int>(2)[0] = unchecked((int)DropoutMask.Key(update.Rounding.Value));
            factors.Send();
            update = new(
                update.Plain with
                {
                    Stored = factors[0],
                },
                update.Decaying with
                {
                    Stored = factors[1],
                },
                new MaskSeed(0, factors[2])
            );
        }

        public void Dispose()
        {
            factors.Dispose();
            Loss.Dispose();
        }

        private void Do(ref Action? replay, Action work)
        {
            if (replay is not null)
            {
                replay();
                return;
            }

            replay = runAndCapture(work, () => { }, tokens: 0);
            Refused = replay is null;
        }

        private void Fill(int part, AdamWStep settings)
        {
            var (shrink, rate, inverse) = settings.Factors;
            if (factors[part].dtype == ScalarType.Float64)
            {
                ((ReadOnlySpan<double>)[shrink, rate, inverse]).CopyTo(factors.Host<double>(part));
                return;
            }

            ((ReadOnlySpan<float>)[(float)shrink, (float)rate, (float)inverse]).CopyTo(factors.Host<float>(part));
        }
    }
}
