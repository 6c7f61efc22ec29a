using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Planning;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests.Training;

/// <summary>Training on a base model whose files hold its weights in few bits.</summary>
public sealed class QuantizedBaseTests : IDisposable
{
    private const string Lora = "peft_config={peft_type: LORA, r: 4, lora_alpha: 8}";

    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Fact]
    public void An_adapter_learns_what_it_learns_on_the_dequantized_model_and_is_merged_into_it()
    {
        Quantize();
        var quantized = tiny.Train(tiny.Recipe("quantized", null, Lora));
        var adapter = tiny.Checkpoint("quantized", 4);
        var path = new TunedPath(tiny.Model, adapter);
        MergeAdapter.Run(path, tiny.At("merged"), null, ScalarType.Float32, CPU);
        MergeAdapter.Run(new TunedPath(tiny.Model, null), tiny.At("whole"), null, ScalarType.Float32, CPU);
        Directory.Delete(tiny.Model, recursive: true);
        Directory.Move(tiny.At("whole"), tiny.Model);
        var whole = tiny.Train(tiny.Recipe("whole-run", null, Lora));
        Assert.Equal(4, quantized.Losses.Count);
        Assert.All(whole.Losses.Zip(quantized.Losses), pair => Assert.Equal(pair.First, pair.Second, 1e-4));
        Assert.Null(ModelConfig.Read(tiny.At("merged")).Stored);
        ModelFolder.Check(tiny.At("merged"));
    }

    [Theory]
    [InlineData("without an adapter all weights are trained. Add peft_config")]
    [InlineData("so they cannot be quantized again. Remove quantization", Lora, "quantization=nf4")]
    [InlineData("so they cannot be quantized again. Remove fp8_base", Lora, "training_args.fp8_base=true")]
    [InlineData(
        "but the base model's weights are quantized (bitsandbytes nf4). Remove it from modules_to_save",
        Lora,
        "peft_config.modules_to_save=[dense_4h_to_h]"
    )]
    public void What_cannot_be_trained_on_it_is_refused(string message, params string[] settings)
    {
        Quantize();
        var error = Assert.Throws<InvalidDataException>(() => tiny.Train(tiny.Recipe("run", null, settings)));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Its_weights_are_not_sharded()
    {
        Quantize();
        var error = Assert.Throws<InvalidDataException>(() => tiny.Train(tiny.Recipe("run", stage: 3, Lora)));
        Assert.Contains("ZeRO stage 3 shards the weights", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_plan_counts_its_bits_and_proposes_no_other_quantization()
    {
        Quantize();
        var config = ModelConfig.Read(tiny.Model);
        var demand = new MemoryDemand
        {
            Config = config,
            Lora = new Model.Adapters.LoraOptions(),
            Tokens = 512,
        };
        var plan = MemoryPlan.For(demand);
        var layers = config.ParametersPerLayer * config.LayerCount;
        var part = plan.Device[0];
        Assert.Equal("weights (bfloat16, layers bitsandbytes nf4)", part.Name);
        Assert.Equal((2 * (config.ParameterCount - layers)) + (layers * 4.127 / 8), part.Bytes, 0.001 * layers);
        Assert.Contains(plan.Device, each => each is { Name: "dequantized weights", Bytes: > 0 });
        Assert.DoesNotContain(MemoryChange.Possible(demand), change => change.Kind == MemoryChangeKind.Quantization);
        var refused = Assert.Throws<InvalidDataException>(() =>
            PlanRun.Of(tiny.Recipe("full", null), tiny.Model, 1, 1)
        );
        Assert.Contains("without an adapter all weights are trained", refused.Message, StringComparison.Ordinal);
    }

    private void Quantize()
    {
        QuantizedFolder.WriteBitsAndBytes(tiny.Model, tiny.At("nf4"));
        Directory.Delete(tiny.Model, recursive: true);
        Directory.Move(tiny.At("nf4"), tiny.Model);
    }
}
