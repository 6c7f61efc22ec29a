using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using static TorchSharp.torch;
using Generator = GlmTune.Inference.Generator;

namespace GlmTune.Recipes.Tests.Chat;

/// <summary>Adapters loaded beside a model that answers.</summary>
public sealed class AdapterLoaderTests : IDisposable
{
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory]
    [InlineData("peft_config={ peft_type: LORA, r: 4, lora_dropout: 0.1 }")]
    [InlineData("peft_config={ peft_type: LORA, r: 4, use_dora: true }")]
    [InlineData("peft_config={ peft_type: PREFIX_TUNING, num_virtual_tokens: 4 }")]
    public void A_loaded_adapter_answers_as_it_does_alone_and_another_base_is_refused(string kind)
    {
        tiny.Train(tiny.Recipe("run", null, kind));
        var folder = tiny.At("run", "checkpoint-4");
        var request = new GenerationRequest([5, 6, 7])
        {
            Options = new() { MaxNewTokens = 6, DoSample = false },
        };
        int[] expected;
        using (var alone = TunedModel.Load(new TunedPath(tiny.Model, folder), ScalarType.Float32, CPU))
        {
            expected = [.. new Generator(alone.Model, alone.Model.Config.VocabularySize).Generate(request).Tokens];
        }

        using (var model = TunedModel.Load(new TunedPath(tiny.Model, null), ScalarType.Float32, CPU))
        {
            model.Serve([]);
            var generator = new Generator(model.Model, model.Model.Config.VocabularySize);
            using var loader = new AdapterLoader(model, generator);
            loader.Load("a", folder);
            Assert.Equal(expected, generator.Generate(request with { Adapter = "a" }).Tokens);
            Assert.Throws<ArgumentException>(() => loader.Load("a", folder));
            loader.Unload("a");
            Assert.Empty(model.Model.Adapters);
        }

        // The same shapes with other weights.
        using var shifted = TunedModel.Load(new TunedPath(Shifted(), null), ScalarType.Float32, CPU);
        shifted.Serve([]);
        using var other = new AdapterLoader(shifted, new Generator(shifted.Model, shifted.Model.Config.VocabularySize));
        Assert.Contains(
            "was trained on another base model",
            Assert.Throws<InvalidDataException>(() => other.Load("a", folder)).Message,
            StringComparison.Ordinal
        );
    }

    private string Shifted()
    {
        var folder = tiny.At("other");
        Directory.CreateDirectory(folder);
        using var model = ModelConfig.Read(tiny.Model).NewModel(ScalarType.Float32, CPU);
        model.InitializeRandomly(6);
        ModelFolder.Save(model, folder, CheckpointLayout.Original, ScalarType.Float32);
        return folder;
    }
}
