using System.Text.Json.Nodes;
using GlmTune.Data.Tokenization;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Training;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>What a checkpoint belongs to: its base model, and the settings that it was trained with.</summary>
public sealed class BaseAndSettingsTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4, lora_dropout: 0.1 }";
    private const string Prefix = "peft_config={ peft_type: PREFIX_TUNING, num_virtual_tokens: 4 }";
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory, InlineData(Lora, 1), InlineData(Prefix, 1), InlineData(Lora, 2)]
    public void An_adapter_does_not_resume_on_another_base_of_the_same_shape(string adapter, int ranks)
    {
        tiny.Train(tiny.Recipe("run", null, adapter), ranks);
        var other = OtherModel(seed: 6);
        var longer = tiny.Recipe("run", null, adapter, "training_args.max_steps=5");
        Directory.Move(tiny.Model, tiny.At("first"));
        Directory.Move(other, tiny.Model);
        foreach (var resume in new[] { "yes", "4" })
        {
            Assert.Contains(
                $"{tiny.Checkpoint("run", 4).TrimEnd('/')}: was trained on another base model than "
                    + $"{tiny.Model}: the shapes are the same, but the weights differ.",
                Assert.ThrowsAny<Exception>(() => tiny.Train(longer, ranks, resume)).Message,
                StringComparison.Ordinal
            );
        }

        Directory.Delete(tiny.Model, recursive: true);
        Directory.Move(tiny.At("first"), tiny.Model);
        Assert.Equal(5, tiny.Train(longer, ranks, "yes").Results[0].Steps);
    }

    [Theory, InlineData(Lora), InlineData(Prefix)]
    public void Another_base_is_noted_wherever_an_adapter_is_loaded(string adapter)
    {
        tiny.Train(tiny.Recipe("run", null, adapter));
        var folder = tiny.At("run", "checkpoint-4");
        var other = OtherModel(seed: 6);
        List<string> NotesOf(string model)
        {
            List<string> notes = [];
            using var one = TunedModel.Load(new TunedPath(model, folder), ScalarType.Float32, CPU, notes.Add);
            using var plain = TunedModel.Load(new TunedPath(model, null), ScalarType.Float32, CPU, notes.Add);
            plain.Serve([new("ads", folder)], notes.Add);
            notes.AddRange(ModelInfo.Read(new TunedPath(model, folder)).Notes);
            return [.. notes.Where(note => note.StartsWith(folder, StringComparison.Ordinal))];
        }

        Assert.Empty(NotesOf(tiny.Model));
        var notes = NotesOf(other);
        Assert.Equal(3, notes.Count);
        Assert.All(
            notes,
            note => Assert.Contains($"was trained on another base model than {other}", note, StringComparison.Ordinal)
        );
    }

    [Fact]
    public void A_fingerprint_follows_the_values_and_not_the_files()
    {
        var first = ModelFingerprint.Of(tiny.Model);
        Assert.Equal(first, ModelFingerprint.Parse(first.ToString()));
        Assert.Null(ModelFingerprint.Parse("1-2"));

        using (var model = ModelFolder.Load(tiny.Model, ScalarType.Float32, CPU))
        {
            Directory.CreateDirectory(tiny.At("parts"));
            ModelFolder.Save(
                model,
                tiny.At("parts"),
                CheckpointLayout.Original,
                ScalarType.Float32,
                maxPartBytes: 100_000
            );
        }

        Assert.True(Directory.GetFiles(tiny.At("parts"), "*.safetensors").Length > 1);
        Assert.Equal(first.Weights, ModelFingerprint.Of(tiny.At("parts")).Weights);

        var config = Path.Combine(tiny.Model, ModelConfig.FileName);
        var json = JsonNode.Parse(File.ReadAllText(config))!;
        json["torch_dtype"] = "bfloat16";
        File.WriteAllText(config, json.ToJsonString());
        Assert.Equal(first, ModelFingerprint.Of(tiny.Model));
        json["rope_ratio"] = 500;
        File.WriteAllText(config, json.ToJsonString());
        Assert.Equal(first with { Config = ModelFingerprint.Of(tiny.Model).Config }, ModelFingerprint.Of(tiny.Model));
        Assert.NotEqual(first, ModelFingerprint.Of(tiny.Model));
        Assert.NotEqual(first.Weights, ModelFingerprint.Of(OtherModel(seed: 6)).Weights);
    }

    [Fact]
    public void Changed_settings_are_listed_old_and_new()
    {
        tiny.Train(tiny.Recipe("run", null, Lora));
        string[] Notes(params string[] settings)
        {
            var output = $"copy-{Guid.NewGuid():N}";
            CopyFolder(tiny.At("run", "checkpoint-4"), tiny.At(output, "checkpoint-4"));
            var report = tiny.Train(
                tiny.Recipe(output, null, [Lora, "training_args.max_steps=5", .. settings]),
                resume: "yes"
            );
            return
            [
                .. report
                    .Notes.Where(note => note.Contains("settings have changed", StringComparison.Ordinal))
                    .Select(note => note[(note.IndexOf("used: ", StringComparison.Ordinal) + 6)..]),
            ];
        }

        Assert.Empty(Notes());
        Assert.Equal(["learning_rate: 0.005 → 0.05"], Notes("training_args.learning_rate=5e-2"));
        Assert.Equal(
            ["lora_dropout: 0.1 → 0, weight_decay: 0 → 0.1"],
            Notes("training_args.weight_decay=0.1", "peft_config.lora_dropout=0")
        );
        Assert.Equal(["gradient_accumulation_steps: 1 → 2"], Notes("training_args.gradient_accumulation_steps=2"));
        Assert.Equal(["dtype: float32 → bfloat16"], Notes("training_args.dtype=bfloat16"));
        Assert.Equal(["lr_scheduler_type: Linear → Cosine"], Notes("training_args.lr_scheduler_type=cosine"));
        Assert.Equal(["combine: false → true"], Notes("combine=true"));
        Assert.Empty(Notes("training_args.logging_steps=2", "training_args.save_steps=1"));
    }

    private string OtherModel(long seed)
    {
        var folder = tiny.At($"model-{seed}");
        Directory.CreateDirectory(folder);
        TokenizerFile.Copy(tiny.Model, folder);
        using var model = ModelConfig.Read(tiny.Model).NewModel(ScalarType.Float32, CPU);
        model.InitializeRandomly(seed);
        ModelFolder.Save(model, folder, CheckpointLayout.Original, ScalarType.Float32);
        return folder;
    }

    private static void CopyFolder(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.GetFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }
    }
}
