using GlmTune.Data.Batching;
using GlmTune.Data.Templates;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>A packed row is the same computation as its examples apart.</summary>
public class PackedPassTests
{
    static PackedPassTests() => NativeRuntime.Load();

    [Fact]
    public void A_packed_row_gives_the_loss_and_the_gradients_of_its_examples_padded()
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
        int[] indices = [0, 1, 2, 3];
        var (padded, packed) = (
            Run(model, Collator.Pad(examples, indices, paddingId: 0)),
            Run(model, Packer.Pack(examples, indices))
        );
        Assert.Equal(padded.Loss, packed.Loss, 1e-9);
        Assert.True(padded.Gradient.abs().max().item<double>() > 1e-3);
        Assert.Equal(0, (padded.Gradient - packed.Gradient).abs().max().item<double>(), 1e-10);
    }

    private static (double Loss, Tensor Gradient) Run(GlmTune.Model.DecoderModel model, MicroBatch batch)
    {
        using var sharding = new ReplicatedWeights(model.Units);
        using var pass = TrainingPass.Of(batch, CPU);
        var loss = new LayerRunner(model, sharding, recomputed: 1).ForwardBackward(
            pass,
            1.0 / batch.SupervisedTokens,
            dropoutSeed: null
        );
        return (loss.item<double>(), cat([.. sharding.Trainable.Select(shard => shard.Gradient)]));
    }
}
