using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests.Models;

public sealed class MergeTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(ScalarType.Float32, false)]
    [InlineData(ScalarType.BFloat16, false)]
    [InlineData(ScalarType.Float16, false)]
    [InlineData(ScalarType.BFloat16, true)]
    public void Many_layers_of_random_weights_merge_within_the_rounding_of_the_type(ScalarType type, bool dora)
    {
        var path = Make(layers: 10, type, dora, scale: 1);
        var report = MergeAdapter.Run(path, folder.At("merged"), null, null, CPU);
        Assert.Equal(type, report.Type);
        Assert.True(report.Agreement!.IsRounding);
        Assert.InRange(report.Agreement.Difference, 0, type == ScalarType.Float32 ? 1e-4 : 0.5);
        Assert.True(report.Agreement.Noise > 0);

        // Each weight is the sum, rounded once.
        using var scope = NewDisposeScope();
        using var merged = ModelFolder.Load(folder.At("merged"), type, CPU);
        using var tuned = TunedModel.Load(path, type, CPU);
        foreach (var (layer, with) in merged.Layers.Zip(tuned.Model.Layers))
        {
            var (found, linear) = (layer.Attention.QueryKeyValue, with.Attention.QueryKeyValue);
            var expected = ((LowRankAdapter)linear.Adapters.Single()).MergedWeight().to_type(type);
            Assert.True(found.Weight.Value.equal(expected).all().item<bool>());
        }
    }

    [Fact]
    public void Weights_that_the_type_cannot_hold_are_the_users_problem_and_nothing_is_written()
    {
        var path = Make(layers: 2, ScalarType.Float16, dora: false, scale: 1e6);
        var error = Assert.Throws<InvalidDataException>(() =>
            MergeAdapter.Run(path, folder.At("merged"), null, null, CPU)
        );
        Assert.Contains("non-finite", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.At("merged")));
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    [InlineData(ScalarType.Float16)]
    public void A_weight_that_is_rounded_twice_or_lacks_a_part_is_found(ScalarType type)
    {
        using var scope = NewDisposeScope();
        using var tuned = TunedModel.Load(Make(layers: 1, type, dora: false, scale: 1), type, CPU);
        var adapter = ((Lora)tuned.Adapter!).Layers[0];
        var merged = adapter.MergedWeight().to_type(type);
        Assert.Null(MergedWeightCheck.FindProblem(adapter, merged));

        // One number in the next place of its type, as a second rounding leaves it.
        var moved = merged.clone();
        var one = moved[3, 5];
        one.MultiplyInPlace(1 + ((type == ScalarType.Float32 ? 256 : 4) * MergeProbe.Unit(type)));
        Assert.Contains("1 of ", MergedWeightCheck.FindProblem(adapter, moved), StringComparison.Ordinal);
        Assert.Contains(
            "are not the sum",
            MergedWeightCheck.FindProblem(adapter, tuned.Model.Layers[0].Attention.QueryKeyValue.Weight.Value.clone()),
            StringComparison.Ordinal
        );
        moved[0, 0].FillInPlace(double.NaN);
        Assert.Contains("not finite", MergedWeightCheck.FindProblem(adapter, moved), StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_that_answers_otherwise_is_no_rounding()
    {
        using var scope = NewDisposeScope();
        using var tuned = TunedModel.Load(
            Make(4, ScalarType.BFloat16, dora: false, scale: 1),
            ScalarType.BFloat16,
            CPU
        );
        var probe = new MergeProbe(tuned.Model);
        Assert.True(probe.Compare().IsRounding);
        // The adapter taken off without a merge.
        tuned.Adapter!.Detach(tuned.Model);
        Assert.False(probe.Compare().IsRounding);
    }

    // A model with random weights and an adapter whose delta is not small.
    private TunedPath Make(int layers, ScalarType type, bool dora, double scale)
    {
        NativeRuntime.Load();
        var config = Glm4Config.Glm4_9B with
        {
            LayerCount = layers,
            HiddenSize = 64,
            FeedForwardSize = 96,
            QueryHeads = 4,
            KeyValueHeads = 2,
            HeadDim = 16,
            VocabularySize = 320,
        };
        using var model = config.NewModel(type, CPU);
        model.InitializeRandomly(3);
        Directory.CreateDirectory(folder.At("base"));
        ModelFolder.Save(model, folder.At("base"), CheckpointLayout.Original, type);
        using var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = 4,
                Alpha = 8,
                UseDora = dora,
            }
        );
        lora.Initialize(1);
        foreach (var delta in lora.Deltas)
        {
            using var scope = NewDisposeScope();
            var values = tensor([
                .. Enumerable.Range(0, (int)delta.B.Count).Select(i => (float)(0.05 * scale * Math.Sin(0.7 * i))),
            ]);
            delta.B.Value.copy_(values.view(delta.B.Shape));
        }

        Directory.CreateDirectory(folder.At("adapter"));
        lora.Save(folder.At("adapter"), folder.At("base"));
        return new TunedPath(folder.At("base"), folder.At("adapter"));
    }
}
