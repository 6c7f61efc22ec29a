using GlmTune.Data.Batching;
using GlmTune.Data.Templates;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>A micro-batch is the same computation as its examples one by one.</summary>
public class PackedPassTests
{
    static PackedPassTests() => NativeRuntime.Load();

    [Fact]
    public void A_micro_batch_gives_the_loss_and_the_gradients_of_its_examples_apart()
    {
        using var scope = NewDisposeScope();
        using var model = ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), ScalarType.Float64, CPU);
        using var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = 4,
                Alpha = 8,
                InitWeights = LoraInitialization.Random,
            }
        );
        lora.Initialize(5);
        var random = new Random(9);
        TokenizedExample[] examples =
        [
            .. new[] { 17, 4, 30, 9 }.Select(length => new TokenizedExample(
                [.. Enumerable.Range(0, length).Select(_ => random.Next(600))],
                [(2, length)]
            )
            {
                FullLength = length,
                LostItsEnd = false,
            }),
        ];
        var apart = Run(model, [.. examples.Select((example, i) => MicroBatch.Of([example], [i]))]);
        var together = Run(model, MicroBatch.Of(examples, [0, 1, 2, 3]));
        Assert.Equal(apart.Loss, together.Loss, 1e-9);
        Assert.True(apart.Gradient.abs().max().item<double>() > 1e-3);
        Assert.Equal(0, (apart.Gradient - together.Gradient).abs().max().item<double>(), 1e-10);
    }

    private static (double Loss, Tensor Gradient) Run(
        GlmTune.Model.DecoderModel model,
        params IReadOnlyList<MicroBatch> batches
    )
    {
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, recomputed: 1);
        var loss = 0.0;
        foreach (var batch in batches)
        {
            using var pass = TrainingPass.Of(batch, CPU);
            loss += runner
                .ForwardBackward(pass, 1.0 / batches.Sum(one => one.SupervisedTokens), dropoutSeed: null)
                .item<double>();
        }

        return (loss, cat([.. sharding.Trainable.Select(shard => shard.Gradient)]));
    }
}
