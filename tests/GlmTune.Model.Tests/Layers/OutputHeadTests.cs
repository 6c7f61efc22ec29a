using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Layers;

/// <summary>The output head's parts: a chunk of targets at a time.</summary>
public class OutputHeadTests
{
    static OutputHeadTests() => NativeRuntime.Load();

    [Fact]
    public void Parts_of_the_targets_draw_dropout_masks_of_their_own_which_stored_keys_give_too()
    {
        using var scope = NewDisposeScope();
        var config = Glm4Config.Glm4_9B with
        {
            LayerCount = 1,
            HiddenSize = 32,
            FeedForwardSize = 48,
            QueryHeads = 4,
            KeyValueHeads = 2,
            HeadDim = 8,
            VocabularySize = 50,
        };
        using var model = new Glm4Model(config, ScalarType.Float64, CPU);
        model.InitializeRandomly(1);
        using var adapter = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = 8,
                Alpha = 64,
                Dropout = 0.5,
                TargetModules = LoraTargets.FromNames("output_layer"),
                InitWeights = LoraInitialization.Random,
            }
        );
        adapter.Initialize(5);
        model.Head.ChunkRows = 4;
        var hidden = linspace(-1, 1, 32, dtype: ScalarType.Float64).expand(8, 32).contiguous();
        using var targets = new SupervisedTargets([.. Enumerable.Range(0, 8)], [.. Enumerable.Repeat(7, 8)], CPU);

        using var sequences = SequenceLayout.OfRows(1, 8, CPU);
        var gradient = Gradient(model.Context(sequences, dropoutSeed: 3));
        Assert.False(gradient[0].equal(gradient[1]).all().item<bool>());
        Assert.False(gradient.narrow(0, 0, 4).equal(gradient.narrow(0, 4, 4)).all().item<bool>());

        int[] keys =
        [
            .. Enumerable
                .Range(0, model.DropoutSites(8))
                .Select(place => unchecked((int)DropoutMask.Key(LayerContext.SeedOf(3, place)))),
        ];
        var (cosine, sine) = model.Angles(8);
        Assert.True(
            gradient
                .equal(
                    Gradient(
                        new LayerContext(cosine, sine)
                        {
                            Kernels = model.Kernels,
                            Sequences = sequences,
                            StoredMaskKeys = tensor(keys),
                        }
                    )
                )
                .all()
                .item<bool>()
        );

        Tensor Gradient(LayerContext context)
        {
            using (context)
            {
                return model.Head.Loss(hidden, targets, context, gradientScale: 1.0).Gradient!;
            }
        }
    }
}
