using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Adapters;

/// <summary>What holds for adapters of any values: gradients, saved files, sizes, and what is refused.</summary>
public class AdapterTests
{
    private static readonly int[] Text = [31, 7, 404, 12, 88, 230, 5, 611, 99, 150];

    static AdapterTests() => NativeRuntime.Load();

    [Theory]
    [InlineData("lora", 0.0), InlineData("lora", 0.3), InlineData("dora", 0.0), InlineData("dora", 0.3)]
    [InlineData("modules", 0.0), InlineData("prefix", 0.0), InlineData("projection", 0.0)]
    public void Gradients_are_the_slopes_of_the_loss(string kind, double dropout)
    {
        using var scope = NewDisposeScope();
        using var model = Load(ScalarType.Float64);
        using var adapter = Attach(kind, model, dropout);
        using var sharding = new ReplicatedWeights(model.Units);
        var runner = new LayerRunner(model, sharding, recomputed: 1);
        using var pass = TrainingPass.Of(
            GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch(),
            CPU
        );
        double Loss() => runner.ForwardBackward(pass, 1, dropoutSeed: 5).item<double>();
        Loss();
        var gradients = sharding.Trainable.Select(shard => (shard, shard.Gradient.clone())).ToList();
        foreach (var (shard, gradient) in gradients)
        {
            // DoRA counts a row's length as a constant, so only its magnitudes have the true slope; they see all layers
            // above them.
            foreach (
                var segment in shard.Segments.Where(segment =>
                    kind != "dora" || segment.Parameter.Name.EndsWith("vector", StringComparison.Ordinal)
                )
            )
            {
                using var inner = NewDisposeScope();
                var (parameter, slope) = (
                    segment.Parameter,
                    gradient.narrow(0, segment.Start, segment.Parameter.Count).view(segment.Parameter.Shape)
                );
                var direction = SeededRandom.Normal(parameter, seed: 3, deviation: 1);
                const double step = 1e-5;
                parameter.Value.add_(direction * step);
                var above = Loss();
                parameter.Value.add_(direction * (-2 * step));
                var below = Loss();
                parameter.Value.add_(direction * step);
                var expected = (above - below) / (2 * step);
                Assert.True(Math.Abs(expected) > 1e-6, $"{parameter.Name}: the loss does not depend on it.");
                var ratio = (slope * direction).sum().item<double>() / expected;
                Assert.True(Math.Abs(ratio - 1) < 1e-4, $"{parameter.Name}: {ratio} times the slope.");
            }
        }
    }

    [Theory, InlineData(0.0), InlineData(0.3)]
    public void Dora_whose_magnitudes_are_the_lengths_is_Lora(double dropout)
    {
        using var scope = NewDisposeScope();
        var results = new List<(double Loss, Dictionary<string, Tensor> Gradients)>();
        foreach (var dora in new[] { false, true })
        {
            using var model = Load(ScalarType.Float64);
            using var lora = Lora.Attach(
                model,
                new LoraOptions
                {
                    Rank = 3,
                    Dropout = dropout,
                    UseDora = dora,
                    TargetModules = LoraTargets.FromNames("k_proj", "v_proj", "down_proj"),
                    InitWeights = LoraInitialization.Random,
                }
            );
            lora.Initialize(2);
            using var sharding = new ReplicatedWeights(model.Units);
            using var pass = TrainingPass.Of(
                GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch(),
                CPU
            );
            var loss = new LayerRunner(model, sharding, recomputed: 1)
                .ForwardBackward(pass, 1, dropoutSeed: 5)
                .item<double>();
            results.Add(
                (
                    loss,
                    sharding
                        .Trainable.SelectMany(shard =>
                            shard.Segments.Select(segment =>
                                (
                                    segment.Parameter.Name,
                                    shard.Gradient.narrow(0, segment.Start, segment.Parameter.Count).clone()
                                )
                            )
                        )
                        .ToDictionary()
                )
            );
        }

        Assert.Equal(results[0].Loss, results[1].Loss, 1e-9);
        foreach (var (name, gradient) in results[0].Gradients)
        {
            TensorAssert.Close(gradient, results[1].Gradients[name], 1e-9, name);
        }
    }

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
        using var adapter = Attach(kind, model);
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

    [
        Theory,
        InlineData("prefix", PrefixInitialization.Normal),
        InlineData("projection", PrefixInitialization.Normal),
        InlineData("projection", PrefixInitialization.Zero)
    ]
    public void A_prefix_learns_whether_projected_or_not(string kind, PrefixInitialization initialization)
    {
        using var model = Load();
        using var adapter = PrefixTuning.Attach(
            model,
            new PrefixTuningOptions
            {
                VirtualTokens = 6,
                Projection = kind == "projection",
                EncoderHiddenSize = 24,
                Initialization = initialization,
            }
        );
        adapter.Initialize(7);
        using var sharding = new ReplicatedWeights(model.Units);
        var options = new OptimizerOptions { LearningRate = 0.05 };
        var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed: 1),
            sharding,
            options,
            new LearningRateSchedule(0.05, new ScheduleOptions(), 10),
            seed: 1
        );
        var batch = GoldenBatch.Read(Path.Combine(GoldenModelTests.Folder, "batch.json")).ToMicroBatch();
        var reports = Enumerable
            .Range(0, 10)
            .Select(_ => trainer.Step(new([batch], batch.SupervisedTokens, 3, default, 0)))
            .ToList();
        Assert.True(reports[^1].Loss < reports[0].Loss - 0.2, $"{reports[0].Loss} to {reports[^1].Loss}");
        // What the model computes now is what the last update left, by itself too.
        using var pass = TrainingPass.Of(batch, CPU);
        var own = model.Loss(pass.TokenIds, pass.Sequences, pass.Targets);
        using var same = TrainingPass.Of(batch, CPU);
        using var again = trainer.Runner.ForwardBackward(same, gradientScale: 0, dropoutSeed: null);
        Assert.Equal(again.item<float>(), own, 1e-4);
    }

    [Fact]
    public void A_projection_that_PEFT_saved_alone_is_used_as_the_prefix_it_made()
    {
        using var scope = NewDisposeScope();
        using var folder = new TemporaryFolder();
        using var model = Load();
        using var adapter = (PrefixTuning)Attach("projection", model);
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
                : Attach(kind, model);
        (adapter as PrefixTuning)?.Initialize(4);
        var expected = Logits(model);
        using var cache = model.NewCache(2, Text.Length);
        var parts = new List<Tensor>();
        for (var done = 0; done < Text.Length; )
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
        using var adapter = Attach("modules", model);
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

    // Every parameter gets a value that shows in the logits.
    private static IAdapter Attach(string kind, DecoderModel model, double dropout = 0)
    {
        if (kind is "prefix" or "projection")
        {
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions
                {
                    VirtualTokens = 6,
                    Projection = kind == "projection",
                    EncoderHiddenSize = 24,
                    Initialization = PrefixInitialization.Normal,
                }
            );
            prefix.Initialize(2);
            return prefix;
        }

        var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = 3,
                Dropout = dropout,
                TargetModules = LoraTargets.FromNames("q_proj", "v_proj", "down_proj"),
                AlphaPattern = [KeyValuePair.Create("v_proj", 3.0)],
                UseDora = kind == "dora",
                ModulesToSave = kind == "modules" ? ["embed_tokens", "lm_head", "model.norm"] : [],
                InitWeights = LoraInitialization.Random,
            }
        );
        lora.Initialize(2);
        using var scope = NewDisposeScope();
        foreach (
            var parameter in lora.Parameters.Where(parameter =>
                parameter.Name.Contains("magnitude", StringComparison.Ordinal)
                || parameter.Name.StartsWith("transformer.", StringComparison.Ordinal)
            )
        )
        {
            parameter.Value.mul_(SeededRandom.Uniform(parameter, 9, 0.3) + 1);
        }

        return lora;
    }

    private static Tensor Logits(DecoderModel model) => model.Logits(Text, SequenceLayout.OfRows(1, Text.Length, CPU));

    private static DecoderModel Load(ScalarType type = ScalarType.Float32) =>
        ModelFolder.Load(Path.Combine(GoldenModelTests.Folder, "model-hf"), type, CPU);
}
