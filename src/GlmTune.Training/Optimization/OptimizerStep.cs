using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
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
    private readonly Tensor numbers;
    private readonly Tensor clip;
    private readonly Captured? captured;

    /// <param name="sharding">How parameters are distributed over the ranks.</param>
    /// <param name="kernels">Layer functions of the device.</param>
    /// <param name="options">Settings of AdamW.</param>
    /// <param name="runAndCapture">Captures the work; null: it runs each time.</param>
    public OptimizerStep(
        ISharding sharding,
        LayerKernels kernels,
        OptimizerOptions options,
        RunAndCapture? runAndCapture = null
    )
    {
        (this.sharding, this.kernels, this.options) = (sharding, kernels, options);
        var (type, device) = (sharding.Trainable[0].Type, sharding.Trainable[0].Gradient.device);
        numbers = zeros(2, ScalarType.Float64, device).DetachFromDisposeScope();
        clip = zeros(1, type, device).squeeze().DetachFromDisposeScope();
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
        var plain = new AdamWStep(rate, options.Beta1, options.Beta2, options.Epsilon, 0, step);
        var decaying = plain with { WeightDecay = options.WeightDecay };
        if (captured is { Refused: false })
        {
            captured.SetNumbers(ref plain, ref decaying);
            captured.Apply(() => Apply(plain, decaying));
        }
        else
        {
            Apply(plain, decaying);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        captured?.Dispose();
        numbers.Dispose();
        clip.Dispose();
    }

    private void Measure(Tensor loss, Tensor found)
    {
        using var scope = NewDisposeScope();
        var norm = GradientNorm.Of(sharding);
        clip.copy_(GradientNorm.ClipFactor(norm, options.MaxGradientNorm));
        found.copy_(stack([loss.to_type(ScalarType.Float64), norm.to_type(ScalarType.Float64)]));
    }

    private void Apply(AdamWStep plain, AdamWStep decaying)
    {
        using var scope = NewDisposeScope();
        var host = sharding.HostOptimizer;
        var factor = host is null ? 1 : clip.to_type(ScalarType.Float64).cpu().item<double>();
        foreach (var shard in sharding.Trainable)
        {
            var settings = shard.Decays ? decaying : plain;
            if (host is not null)
            {
                host.Update(shard, factor, settings);
                continue;
            }

            kernels.AdamW(shard.Master, shard.Gradient, shard.FirstMoment, shard.SecondMoment, clip, settings);
            shard.Gradient.zero_();
        }

        host?.Finish();
        sharding.ShareUpdates();
    }

    // Inputs that a captured graph reads at each replay, and its two halves.
    private sealed class Captured(RunAndCapture runAndCapture, ScalarType type, Device device) : IDisposable
    {
        private readonly StagedTensors factors = new(device, (type, 3), (type, 3));
        private Action? measure;
        private Action? apply;

        public Tensor Loss { get; } = zeros(1, type, device).squeeze().DetachFromDisposeScope();

        /// <summary>Whether the capture failed, in which case the work runs each time.</summary>
        public bool Refused { get; private set; }

        public void Measure(Action work) => Do(ref measure, work);

        public void Apply(Action work) => Do(ref apply, work);

        // The numbers of a step in device memory, for kernels.
        public void SetNumbers(ref AdamWStep plain, ref AdamWStep decaying)
        {
            factors.Begin();
            Fill(0, plain);
            Fill(1, decaying);
            factors.Send();
            (plain, decaying) = (plain with { Stored = factors[0] }, decaying with { Stored = factors[1] });
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
