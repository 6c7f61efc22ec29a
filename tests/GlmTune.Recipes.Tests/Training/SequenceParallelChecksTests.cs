namespace GlmTune.Recipes.Tests;

/// <summary>Runs whose ranks share the tokens of each micro-batch.</summary>
public sealed class SequenceParallelChecksTests : IDisposable
{
    private const string Lora = "peft_config={ peft_type: LORA, r: 4, lora_alpha: 16, lora_dropout: 0 }";
    private const string Prefix = "peft_config={ peft_type: PREFIX_TUNING, num_virtual_tokens: 6 }";
    private readonly TinyRun tiny = new();

    public void Dispose() => tiny.Dispose();

    [Theory]
    [InlineData(2, null, ""), InlineData(2, 3, ""), InlineData(4, 2, Lora), InlineData(2, null, Prefix)]
    public void Ranks_that_share_sequences_give_the_losses_of_one(int ranks, int? stage, string adapter)
    {
        string[] settings =
        [
            "training_args.packing=true",
            "training_args.pack_length=128",
            .. adapter.Length > 0 ? [adapter] : (string[])[],
        ];
        var one = tiny.Train(tiny.Recipe("one", stage: null, settings));
        var many = tiny.Train(
            tiny.Recipe("many", stage, [.. settings, $"training_args.sequence_parallel_size={ranks}"]),
            ranks
        );
        Assert.Equal(4, many.Losses.Count);
        Assert.All(one.Losses.Zip(many.Losses), pair => Assert.Equal(pair.First, pair.Second, 2e-5));
        Assert.Equal((one.Last!.Tokens, one.Last.Examples), (many.Last!.Tokens, many.Last.Examples));
    }

    [Theory, InlineData(4, 2, null, Lora), InlineData(4, 2, 3, "")]
    public void Groups_of_ranks_that_share_sequences_give_the_losses_of_as_many_ranks(
        int ranks,
        int size,
        int? stage,
        string adapter
    )
    {
        string[] settings =
        [
            "training_args.packing=true",
            "training_args.pack_length=128",
            .. adapter.Length > 0 ? [adapter] : (string[])[],
        ];
        var groups = tiny.Train(tiny.Recipe("groups", stage: null, settings), ranks / size);
        var many = tiny.Train(
            tiny.Recipe("many", stage, [.. settings, $"training_args.sequence_parallel_size={size}"]),
            ranks
        );
        Assert.All(groups.Losses.Zip(many.Losses), pair => Assert.Equal(pair.First, pair.Second, 2e-5));
        Assert.Equal((groups.Last!.Tokens, groups.Last.Examples), (many.Last!.Tokens, many.Last.Examples));
    }

    [Theory]
    [InlineData(2, 4, "'training_args.sequence_parallel_size' is 4, but the run has 2 ranks; expected a divisor of 2")]
    [InlineData(3, 3, "4 query heads cannot be divided among 3 ranks")]
    public void A_size_that_cannot_be_is_refused_before_anything_is_loaded(int ranks, int size, string message)
    {
        var recipe = tiny.Recipe("run", stage: null, $"training_args.sequence_parallel_size={size}");
        File.Delete(Path.Combine(tiny.Model, "model.safetensors"));
        var error = Assert.ThrowsAny<Exception>(() => tiny.Train(recipe, ranks));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }
}
