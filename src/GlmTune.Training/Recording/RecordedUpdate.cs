using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Recording;

/// <summary>What follows a step's passes, recorded: the gradients' norm, and the update of every shard. Not
/// thread-safe.</summary>
internal sealed class RecordedUpdate : IDisposable
{
    private readonly ISharding sharding;
    private readonly LayerKernels kernels;
    private readonly OptimizerOptions optimizer;
    private readonly RunAndRecord record;
    private readonly StagedTensors factors;
    private readonly Tensor numbers;
    private readonly Tensor clip;
    private readonly Tensor sum;
    private Action? measure;
    private Action? apply;

    public RecordedUpdate(ISharding sharding, LayerKernels kernels, OptimizerOptions optimizer, RunAndRecord record)
    {
        (this.sharding, this.kernels, this.optimizer, this.record) = (sharding, kernels, optimizer, record);
        var first = sharding.Trainable[0];
        var device = first.Master.device;
        factors = new StagedTensors(device, (first.Type, 3), (first.Type, 3));
        numbers = zeros(2, ScalarType.Float64, device).DetachFromDisposeScope();
        clip = zeros(1, first.Type, device).squeeze().DetachFromDisposeScope();
        sum = zeros(1, first.Type, device).squeeze().DetachFromDisposeScope();
    }

    /// <summary>Whether recording was refused: then the ordinary way is to be taken.</summary>
    public bool Refused { get; private set; }

    /// <summary>The summed loss that was given and the norm of the gradients; waits for them.</summary>
    /// <param name="loss">Scalar of the shards' type.</param>
    public (double Loss, double Norm) Measure(Tensor loss)
    {
        sum.copy_(loss);
        Do(
            ref measure,
            () =>
            {
                using var scope = NewDisposeScope();
                var norm = GradientNorm.Of(sharding);
                clip.copy_(GradientNorm.ClipFactor(norm, optimizer.MaxGradientNorm));
                numbers.copy_(stack([sum.to_type(ScalarType.Float64), norm.to_type(ScalarType.Float64)]));
            }
        );
        using var host = numbers.cpu();
        var values = host.data<double>();
        return (values[0], values[1]);
    }

    /// <summary>Updates all shards, clears their gradients, and brings the values to the parameters.</summary>
    /// <param name="rate">Learning rate.</param>
    /// <param name="step">Number of this update, from 1.</param>
    public void Apply(double rate, long step)
    {
        var settings = new AdamWStep(rate, optimizer.Beta1, optimizer.Beta2, optimizer.Epsilon, 0, step);
        factors.Begin();
        Fill(0, settings);
        Fill(1, settings with { WeightDecay = optimizer.WeightDecay });
        factors.Send();
        Do(
            ref apply,
            () =>
            {
                foreach (var shard in sharding.Trainable)
                {
                    var stored = settings with { Stored = factors[shard.Decays ? 1 : 0] };
                    kernels.AdamW(shard.Master, shard.Gradient, shard.FirstMoment, shard.SecondMoment, clip, stored);
                    shard.Gradient.zero_();
                }

                sharding.ShareUpdates();
            }
        );
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        factors.Dispose();
        numbers.Dispose();
        clip.Dispose();
        sum.Dispose();
    }

    private void Do(ref Action? replay, Action work)
    {
        if (replay is not null)
        {
            replay();
        }
        else if (Refused)
        {
            work();
        }
        else
        {
            replay = record(work, () => { }, tokens: 0);
            Refused = replay is null;
        }
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
