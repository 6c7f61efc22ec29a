using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>What a captured pass rests on is counted, and nothing else.</summary>
public class ModelVersionTests
{
    static ModelVersionTests() => NativeRuntime.Load();

    [Fact]
    public void Every_change_of_memory_adapters_or_positions_counts_and_a_change_of_values_does_not()
    {
        using var scope = NewDisposeScope();
        using var model = Tiny();
        model.InitializeRandomly(1);
        var weight = model.Layers[0].Attention.Output.Weight;
        var before = model.Version;
        weight.Value.MultiplyInPlace(2);
        model.Layers[0].Attention.Output.Weight.WideGradient();
        Assert.Equal(before, model.Version);

        Counts(() => weight.Value = weight.Value.clone());
        Counts(() => model.PositionOffset = 3);
        Lora? lora = null;
        Counts(() => lora = Lora.Attach(model, new LoraOptions { Rank = 2 }));
        var trained = lora!.Parameters.First();
        Counts(() => trained.Value = trained.Value.clone());
        Counts(() => lora.Detach(model));
        lora.Dispose();
        using var prefix = PrefixTuning.Attach(model, new PrefixTuningOptions { VirtualTokens = 2 });
        Counts(() => prefix.Detach(model));
        using var buffers = new DenseWeights(model.Kernels, model.Type, model.Device);
        var frozen = model.Layers[1].FeedForward.Down.Weight;
        Counts(() => frozen.Quantize(FrozenType.Nf4, backward: true, buffers));
        Counts(weight.Release);

        void Counts(Action change)
        {
            var earlier = model.Version;
            change();
            Assert.True(model.Version > earlier);
        }
    }

    [Fact]
    public void Loading_the_same_value_again_changes_nothing()
    {
        using var scope = NewDisposeScope();
        using var model = Tiny();
        model.InitializeRandomly(1);
        var (weight, before) = (model.Head.Norm, model.Version);
        weight.Value = weight.Value;
        Assert.Equal(before, model.Version);
    }

    private static DecoderModel Tiny() =>
        (
            ModelFamilies.Shape("glm-4-9b") with
            {
                LayerCount = 2,
                HiddenSize = 32,
                FeedForwardSize = 64,
                QueryHeads = 4,
                KeyValueHeads = 2,
                HeadDim = 8,
                VocabularySize = 64,
            }
        ).NewModel(ScalarType.Float32, CPU);
}
