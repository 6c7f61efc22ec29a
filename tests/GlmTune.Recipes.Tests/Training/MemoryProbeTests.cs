namespace GlmTune.Recipes.Tests.Training;

/// <summary>The pass of the longest rows before the first step.</summary>
public sealed class MemoryProbeTests : IDisposable
{
    private const string Lora =
        "peft_config={ peft_type: LORA, r: 4, lora_alpha: 16, lora_dropout: 0.3, target_modules: all-linear }";

    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory]
    [InlineData(1, null, Lora), InlineData(1, null, ""), InlineData(2, 3, ""), InlineData(2, 2, Lora)]
    [InlineData(1, null, "training_args.gradient_accumulation_steps=3")]
    public void It_is_reported_once_and_changes_nothing(int ranks, int? stage, string setting)
    {
        string[] settings = setting.Length == 0 ? [] : [setting];
        var without = tiny.Train(
            tiny.Recipe("without", stage, [.. settings, "training_args.memory_probe=false"]),
            ranks
        );
        var with = tiny.Train(tiny.Recipe("with", stage, settings), ranks);
        Assert.Equal(without.Losses, with.Losses);
        Assert.Equal(Weights("without"), Weights("with"));
        Assert.DoesNotContain(without.Notes, IsProbe);
        var note = Assert.Single(with.Notes, IsProbe);
        Assert.Contains("2 rows, ", note, StringComparison.Ordinal);
    }

    [Fact]
    public void A_resumed_run_probes_too_and_ends_with_the_same_weights()
    {
        tiny.Train(tiny.Recipe("whole", stage: null, Lora));
        tiny.Train(tiny.Recipe("parts", stage: null, Lora, "training_args.save_steps=2"));
        var resumed = tiny.Train(tiny.Recipe("parts", stage: null, Lora), resume: tiny.Checkpoint("parts", 2));
        Assert.Single(resumed.Notes, IsProbe);
        Assert.Equal(Weights("whole"), Weights("parts"));
    }

    private static bool IsProbe(string note) => note.StartsWith("memory probe", StringComparison.Ordinal);

    private byte[] Weights(string name) =>
        File.ReadAllBytes(Directory.GetFiles(tiny.Checkpoint(name, 4), "*model.safetensors").Single());
}
