using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Adapters;

/// <summary>The original modeling code, with and without a prefix.</summary>
public class GoldenPrefixTests
{
    static GoldenPrefixTests() => NativeRuntime.Load();

    [Theory, InlineData("golden_glm3_tiny_prefix_model.bin", true), InlineData("golden_glm4_tiny_model.bin", false)]
    public void Hidden_states_equal_those_of_the_original_code_through_the_cache(string file, bool withPrefix)
    {
        using var reader = new BinaryReader(File.OpenRead(GoldenData.Shared($"glm4/{file}")));
        using var scope = NewDisposeScope();
        using var stored = withPrefix
            ? tensor(Enumerable.Range(0, 80).Select(_ => (float)reader.ReadHalf()).ToArray()).view(2, 2, 5, 4)
            : null;
        using var model = new Glm4Model(Tiny(withPrefix ? 1e-5 : 1.5625e-07), ScalarType.Float32, CPU);
        foreach (var parameter in model.BaseParameters)
        {
            // The files have no output projection.
            parameter.Value =
                parameter == model.Head.Projection.Weight ? zeros(parameter.Shape) : Floats(reader, parameter.Shape);
        }

        using var prefix = withPrefix
            ? PrefixTuning.Attach(model, new PrefixTuningOptions { VirtualTokens = 5 })
            : null;
        if (stored is not null)
        {
            // [key and value, heads, tokens, features] to PEFT's [tokens, key and value × heads × features].
            prefix!.SetPromptEmbeddings(stored.permute(2, 0, 1, 3).reshape(5, -1));
        }

        using var cache = model.NewCache(slots: 1, capacity: 5);
        for (var (step, before) = (0, model.VirtualTokens); step < 3; step++)
        {
            int[] ids = step == 0 ? [0, 1, 2] : [step + 2];
            Assert.Equal(ids, ids.Select(_ => reader.ReadInt32()));
            using var cached = new CacheStep(cache, [0], [before], [ids.Length]);
            using var sequences = SequenceLayout.OfRows(1, ids.Length, CPU);
            using var context = model.Context(sequences, cache: cached);
            var hidden = model.Head.Normalise(model.Hidden(model.Ids(ids), context), model.Kernels);
            TensorAssert.Close(Floats(reader, [ids.Length, 32]), hidden, withPrefix ? 5e-4 : 1e-5, $"step {step + 1}");
            before += ids.Length;
        }

        Assert.Equal(reader.BaseStream.Length, reader.BaseStream.Position);
    }

    private static Glm4Config Tiny(double epsilon) =>
        Glm4Config.Glm4_9B with
        {
            LayerCount = 1,
            HiddenSize = 32,
            FeedForwardSize = 48,
            QueryHeads = 8,
            KeyValueHeads = 2,
            HeadDim = 4,
            VocabularySize = 5,
            NormEpsilon = epsilon,
            RotaryBase = 10_000,
        };

    private static Tensor Floats(BinaryReader reader, long[] shape) =>
        tensor(
                Enumerable
                    .Range(0, (int)shape.Aggregate(1L, (product, size) => product * size))
                    .Select(_ => reader.ReadSingle())
                    .ToArray()
            )
            .reshape(shape);
}
