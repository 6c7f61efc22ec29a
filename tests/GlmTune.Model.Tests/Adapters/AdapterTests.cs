using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Adapters;

/// <summary>What holds for adapters of any values: saved files, sizes, and what is refused.</summary>
public class AdapterTests
{
    private static readonly string Folder = GoldenData.Path("glm-tiny");
    private static readonly int[] Text = [31, 7, 404, 12, 88, 230, 5, 611, 99, 150];

    static AdapterTests() => NativeRuntime.Load();

    [
        Theory,
        InlineData("lora"),
        InlineData("dora"),
        InlineData("modules"),
        InlineData("prefix"),
        InlineData("projection")
    ]
    public void A_saved_adapter_gives_the_same_logits_again(string kind)
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load();
        using var adapter = SampleAdapters.Attach(kind, model);
        var expected = Logits(model);
        adapter.Save(folder.Path, "model-hf");
        using var fresh = Load();
        var plain = Logits(fresh);
        using var again = AdapterFolder.Load(folder.Path, fresh);
        TensorAssert.Close(expected, Logits(fresh), 1e-6, kind);
        Assert.Equal(
            adapter.Parameters.Select(parameter => parameter.ToString()),
            again.Parameters.Select(parameter => parameter.ToString())
        );
        Assert.True((plain - expected).abs().max().item<float>() > 1e-3);
        again.Detach(fresh);
        Assert.Equal(0, fresh.VirtualTokens);
        if (kind != "modules")
        {
            TensorAssert.Close(plain, Logits(fresh), 0, "detached");
        }
    }

    [Fact]
    public void A_projection_that_PEFT_saved_alone_is_used_as_the_prefix_it_made()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load();
        using var adapter = (PrefixTuning)SampleAdapters.Attach("projection", model);
        var expected = Logits(model);
        adapter.Save(folder.Path, "model-hf");
        File.Delete(Path.Combine(folder.Path, "glmtune_prefix_projection.safetensors"));
        using var fresh = Load();
        using var again = AdapterFolder.LoadPrefix(folder.Path, fresh);
        Assert.Null(again.Encoder);
        Assert.Equal(fresh.Layers.Count, again.Parameters.Count());
        TensorAssert.Close(expected, Logits(fresh), 1e-6, "logits");
    }

    [Theory, InlineData(PrefixPositions.Original), InlineData(PrefixPositions.Library)]
    public void A_prefix_from_text_acts_as_that_text_in_front(PrefixPositions positions)
    {
        using var scope = NewDisposeScope();
        using var model = Load();
        var both = model.Logits([.. Text, .. Text.Reverse()], SequenceLayout.OfRows(1, 20, CPU)).narrow(0, 10, 10);
        using var prefix = PrefixTuning.Attach(
            model,
            new PrefixTuningOptions { VirtualTokens = 10, Positions = positions }
        );
        prefix.InitializeFromText(model, Text);
        TensorAssert.Close(both, model.Logits([.. Text.Reverse()], SequenceLayout.OfRows(1, 10, CPU)), 1e-5, "logits");
        prefix.InitializeFromText(model, [.. Text, 1, 2, 3]);
        TensorAssert.Close(both, model.Logits([.. Text.Reverse()], SequenceLayout.OfRows(1, 10, CPU)), 1e-5, "cut");
    }

    [
        Theory,
        InlineData("prefix", PrefixPositions.Original),
        InlineData("prefix", PrefixPositions.Library),
        InlineData("lora", default(PrefixPositions)),
        InlineData("dora", default(PrefixPositions))
    ]
    public void Prefill_and_decode_equal_one_pass(string kind, PrefixPositions positions)
    {
        using var scope = NewDisposeScope();
        using var model = Load();
        using var adapter =
            kind == "prefix"
                ? PrefixTuning.Attach(model, new PrefixTuningOptions { VirtualTokens = 6, Positions = positions })
                : SampleAdapters.Attach(kind, model);
        (adapter as PrefixTuning)?.Initialize(4);
        var expected = Logits(model);
        using var cache = model.NewCache(2, Text.Length);
        var parts = new List<Tensor>();
        for (var done = 0; done < Text.Length;)
        {
            var count = done == 0 ? 4 : 1;
            parts.Add(
                model.Logits(
                    Text[done..(done + count)],
                    SequenceLayout.OfRows(1, count, CPU),
                    new CacheStep(cache, [1], [model.VirtualTokens + done], [count])
                )
            );
            done += count;
        }

        TensorAssert.Close(expected, cat([.. parts]), 1e-5, "logits");
    }

    [Fact]
    public void Positions_are_recorded_with_a_prefix_and_can_be_set()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load();
        using (
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions { VirtualTokens = 4, Positions = PrefixPositions.Original }
            )
        )
        {
            Assert.Equal(0, model.PositionOffset);
            prefix.Save(folder.Path, "model-hf");
            prefix.Detach(model);
        }

        using (var recorded = AdapterFolder.LoadPrefix(folder.Path, model))
        {
            Assert.Equal((PrefixPositions.Original, 0), (recorded.Positions, model.PositionOffset));
            recorded.Detach(model);
        }

        using (var set = AdapterFolder.LoadPrefix(folder.Path, model, PrefixPositions.Library))
        {
            Assert.Equal((PrefixPositions.Library, 4), (set.Positions, model.PositionOffset));
            set.Detach(model);
        }

        File.WriteAllText(Path.Combine(folder.Path, "glmtune_prefix.json"), """{"positions": "both"}""");
        Assert.Contains(
            "original or library",
            Assert.Throws<InvalidDataException>(() => AdapterFolder.Load(folder.Path, model)).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Wrong_prefix_sizes_are_refused_with_the_right_ones()
    {
        using var model = Load();
        var wrong = new PrefixTuningOptions
        {
            VirtualTokens = 6,
            AttentionHeads = 8,
            TokenDim = 64,
            Layers = 40,
        };
        var message = Assert.Throws<InvalidDataException>(() => PrefixTuning.Attach(model, wrong)).Message;
        Assert.Contains("num_attention_heads is 8; expected 2", message, StringComparison.Ordinal);
        Assert.Contains("token_dim is 64; expected 16", message, StringComparison.Ordinal);
        Assert.Contains("num_layers is 40; expected 3", message, StringComparison.Ordinal);
        Assert.Equal(0, model.VirtualTokens);
    }

    [Theory]
    [InlineData("q_proj", "fused"), InlineData("lm_hat", "lm_head"), InlineData("o_proj", "one of them")]
    public void Modules_that_cannot_be_saved_are_refused(string module, string reason)
    {
        using var model = Load();
        var options = new LoraOptions { TargetModules = LoraTargets.AllLinear, ModulesToSave = [module] };
        Assert.Contains(
            reason,
            Assert.Throws<InvalidDataException>(() => Lora.Attach(model, options)).Message,
            StringComparison.Ordinal
        );
        Assert.All(model.Layers, layer => Assert.Empty(layer.Attention.Output.Adapters));
    }

    [Fact]
    public void Saved_modules_have_PEFTs_names()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load();
        using var adapter = SampleAdapters.Attach("modules", model);
        adapter.Save(folder.Path, "model-hf");
        using var files = WeightFiles.Open(Path.Combine(folder.Path, WeightFiles.AdapterFile));
        Assert.Equal(
            [
                "base_model.model.lm_head.weight",
                "base_model.model.model.embed_tokens.weight",
                "base_model.model.model.norm.weight",
            ],
            files
                .Tensors.Select(stored => stored.Name)
                .Where(name => !name.Contains("lora_", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public void Adapters_of_the_9B_model_have_the_published_sizes()
    {
        using var folder = new TemporaryFolder();
        using var model = new Glm4Model(Glm4Config.Glm4_9B, ScalarType.BFloat16, CPU);
        using (var lora = Lora.Attach(model, new LoraOptions { Rank = 8 }))
        {
            Assert.Equal(2_785_280, Saved(lora));
            lora.Detach(model);
        }

        using var prefix = PrefixTuning.Attach(model, new PrefixTuningOptions());
        Assert.Equal(10_485_760, Saved(prefix));

        long Saved(IAdapter adapter)
        {
            adapter.Save(folder.Path, "glm-4-9b-chat", type: ScalarType.BFloat16);
            using var files = WeightFiles.Open(Path.Combine(folder.Path, WeightFiles.AdapterFile));
            var stored = files.Tensors.Sum(tensor => tensor.Shape.Aggregate(1L, (product, size) => product * size));
            Assert.Equal(adapter.Parameters.Sum(parameter => parameter.Count), stored);
            return stored;
        }
    }

    private static Tensor Logits(DecoderModel model) => model.Logits(Text, SequenceLayout.OfRows(1, Text.Length, CPU));

    private static DecoderModel Load(ScalarType type = ScalarType.Float32) =>
        ModelFolder.Load(Path.Combine(Folder, "model-hf"), type, CPU);
}
