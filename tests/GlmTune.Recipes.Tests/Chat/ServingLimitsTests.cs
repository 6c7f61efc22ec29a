using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

public sealed class ServingLimitsTests : IDisposable
{
    private const long GiB = 1L << 30;
    private readonly DecoderModel model = ModelFolder.Load(
        Path.Combine(TinyRun.Repository, "models", "glm-nano"),
        ScalarType.Float32,
        CPU
    );

    public void Dispose() => model.Dispose();

    [Fact]
    public void The_share_of_the_memory_that_the_server_may_use_holds_cache_and_working_memory()
    {
        var all = new ServingLimits { GpuMemory = 1 }.For(model, (60 * GiB, 80 * GiB));
        Assert.InRange(all.CacheBytes, 57 * GiB, 59 * GiB);
        var most = new ServingLimits().For(model, (60 * GiB, 80 * GiB));
        Assert.InRange(all.CacheBytes - most.CacheBytes, (8 * GiB) - 10_000, (8 * GiB) + 10_000);
        Assert.Equal(ServingLimits.MaxSlots, most.Slots);
        Assert.Equal(
            2 * most.CacheBytes,
            new ServingLimits().For(model, (60 * GiB, 80 * GiB), devices: 2).CacheBytes,
            10_000.0
        );
    }

    [Fact]
    public void Little_memory_gives_few_slots_and_none_is_refused_with_the_figures()
    {
        var perToken = ((ICausalLm)model).CachedTokenBytes;
        var working =
            (2 * GiB)
            - new ServingLimits { GpuMemory = 1 }
                .For(model, (2 * GiB, 4 * GiB))
                .CacheBytes;
        var few = new ServingLimits { GpuMemory = 1 }.For(model, (working + (5 * 512 * perToken), 4 * GiB));
        Assert.InRange(few.Slots, 4, 5);
        var set = new ServingLimits
        {
            Slots = 7,
            MaxModelLength = 300,
            BatchTokens = 99,
            GpuMemory = 1,
        }.For(model, (working + (5 * 512 * perToken), 4 * GiB));
        Assert.Equal((7, 300, 99), (set.Slots, set.MaxLength, set.PassTokens));
        var error = Assert.Throws<InvalidDataException>(() => new ServingLimits().For(model, (GiB, 80 * GiB)));
        Assert.StartsWith("No memory is left for keys and values: 1 GiB of 80 GiB are free", error.Message);
    }

    [Fact]
    public void A_processor_has_the_usual_limits_and_the_description_counts_tokens()
    {
        var limits = new ServingLimits { MaxModelLength = 128 }.For(model, memory: null);
        Assert.Equal(new GenerationLimits { MaxLength = 128, PassTokens = 256 }, limits);
        var tokens = limits.CacheBytes / ((ICausalLm)model).CachedTokenBytes;
        Assert.Equal(
            $"Up to 16 answers at a time, 256 tokens per step; keys and values of {tokens} tokens (4 GiB); prompt "
                + "and answer at most 128 tokens.",
            ServingLimits.Describe(model, limits)
        );
    }

    [Fact]
    public void Prompts_beyond_the_set_length_are_refused()
    {
        var generator = new Inference.Generator(model, 1000, limits: new GenerationLimits { MaxLength = 8 });
        Assert.Equal(8, generator.MaxLength);
        Assert.Throws<PromptTooLongException>(() =>
            generator.Generate(new GenerationRequest([.. Enumerable.Range(1, 8)]))
        );
        var answer = generator.Generate(
            new GenerationRequest([1, 2, 3]) { Options = new GenerationOptions { MaxNewTokens = 100 } }
        );
        Assert.InRange(answer.Generated.Count, 1, 5);
    }
}
