using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>Adapters of all kinds in one batch, against each attached by itself, which golden values cover.</summary>
public class ServedAdaptersTests
{
    private static readonly GoldenAdapters Golden = new(GoldenData.Path("glm-tiny"));

    [Theory]
    [InlineData(16, 4096, null, 0)]
    [InlineData(3, 4096, null, 0)]
    [InlineData(16, 5, null, 0)]
    [InlineData(16, 7, 2, 0)]
    [InlineData(16, 5, 3, 7)]
    public void Greedy_answers_of_a_mixed_batch_are_those_of_each_alone(
        int slots,
        int passTokens,
        int? adapters,
        int blocks
    )
    {
        using var model = Load("model-hf", ScalarType.Float32);
        var rows = Enumerable.Range(0, 14).Select(i => i % 6 == 0 ? null : GoldenAdapters.Kinds[(i % 6) - 1]).ToList();
        var prompts = Prompts(rows.Count);
        GenerationRequest Request(int row, string? adapter) =>
            new(prompts[row])
            {
                Adapter = adapter,
                Options = new() { MaxNewTokens = 6 + (row * 5 % 11), EosTokenIds = [.. Enumerable.Range(0, 9)] },
            };
        var expected = rows.Index()
            .Select(row =>
                Golden.Attached(
                    model,
                    row.Item,
                    () => new Generator(model, 640).Generate(Request(row.Index, null)).Tokens
                )
            )
            .ToList();
        using var served = Golden.Serve(model, adapters);
        var limits = new GenerationLimits { Slots = slots, PassTokens = passTokens };
        if (blocks > 0)
        {
            // So little memory that rows have to leave, and come back.
            limits = limits with
            {
                CacheBytes = blocks * CachedBlocks.Tokens * model.CachedTokenBytes,
            };
        }

        var generator = new Generator(model, 640, limits: limits);
        var answers = generator.GenerateAll([.. rows.Select((adapter, row) => Request(row, adapter))]);
        Assert.Equal(expected, answers.Select(answer => answer.Tokens));
    }

    [Theory]
    [InlineData("prefix")]
    [InlineData("dora")]
    public void A_beam_search_finds_what_it_finds_with_the_adapter_attached(string adapter)
    {
        using var model = Load("model-hf", ScalarType.Float32);
        var request = new GenerationRequest([7, 90, 200])
        {
            Options = new() { NumBeams = 3, MaxNewTokens = 9 },
        };
        var expected = Golden.Attached(model, adapter, () => new Generator(model, 640).Generate(request).Tokens);
        using var served = Golden.Serve(model);
        Assert.Equal(expected, new Generator(model, 640).Generate(request with { Adapter = adapter }).Tokens);
    }

    [Fact]
    public void An_unloaded_adapters_row_fails_and_the_others_go_on()
    {
        using var model = Load("model-hf", ScalarType.Float32);
        using var served = Golden.Serve(model);
        var generator = new Generator(model, 640, new GenerationOptions { MaxNewTokens = 5, EosTokenIds = [] });
        using var queue = generator.NewQueue();
        var (leaves, stays) = (
            generator.NewRow(0, new([5, 6]) { Adapter = "prefix" }),
            generator.NewRow(1, new([5, 6]) { Adapter = "lora" })
        );
        queue.Add(leaves);
        queue.Add(stays);
        var (tokens, errors) = (0, new List<string>());
        queue.Step((_, _) => tokens++, (_, e) => errors.Add(e.Message));
        generator.BetweenPasses(() => served.Unload("prefix"));
        while (queue.HasWork)
        {
            queue.Step((_, _) => tokens++, (_, e) => errors.Add(e.Message));
        }

        Assert.Equal((6, "The adapter 'prefix' was unloaded during generation."), (tokens, Assert.Single(errors)));
        Assert.True(stays.Finished);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Adapters_may_come_and_go_while_others_answer(bool servedFirst)
    {
        using var model = Load("model-hf", ScalarType.Float32);
        using var served = new ServedAdapters(model);
        if (servedFirst)
        {
            served.Load("lora", Golden.PathOf("lora"));
        }

        var generator = new Generator(model, 640, new GenerationOptions { MaxNewTokens = 24, EosTokenIds = [] });
        List<GenerationRequest> requests = [new([5, 6]) { Adapter = servedFirst ? "lora" : null }, new([30, 31, 32])];
        var expected = requests.Select(request => generator.Generate(request).Tokens).ToList();
        using var queue = generator.NewQueue();
        foreach (var (index, request) in requests.Index())
        {
            queue.Add(generator.NewRow(index, request));
        }

        List<int>[] answers =
        [
            [],
            [],
        ];
        for (var step = 0; queue.HasWork; step++)
        {
            queue.Step((row, token) => answers[row.Index].Add(token.Id), (_, e) => throw e);
            // By now the next pass is queued before this one's tokens are known. An adapter that can be decoded, one
            // that cannot, and one with a prefix, which takes room in every slot.
            Action? change = step switch
            {
                4 => () => served.Load("other", Golden.PathOf("lora_all")),
                8 => () => served.Load("dora", Golden.PathOf("dora")),
                10 => () => served.Load("prefix", Golden.PathOf("prefix")),
                12 => () => served.Unload("other"),
                14 => () => served.Unload("prefix"),
                16 => () => served.Unload("dora"),
                _ => null,
            };
            if (change is not null)
            {
                generator.BetweenPasses(change);
            }
        }

        Assert.Equal(expected, answers.Select(answer => answer.ToArray()));
    }

    [Fact]
    public void Names_that_are_unknown_or_taken_are_refused()
    {
        using var model = Load("model-hf", ScalarType.Float32);
        var generator = new Generator(model, 640);
        Assert.Contains(
            "available: none",
            Assert.Throws<ArgumentException>(() => generator.Generate(new([3]) { Adapter = "x" })).Message,
            StringComparison.Ordinal
        );
        using var served = Golden.Serve(model);
        Assert.Contains(
            "'lora', 'lora_all'",
            Assert.Throws<ArgumentException>(() => generator.Generate(new([3]) { Adapter = "x" })).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "'lora' already",
            Assert.Throws<ArgumentException>(() => served.Load("lora", Golden.PathOf("lora"))).Message,
            StringComparison.Ordinal
        );
        Assert.Throws<ArgumentException>(() => served.Unload("x"));
    }

    [Fact]
    public void No_tensor_outlives_a_mixed_batch()
    {
        using var model = Load("model-hf", ScalarType.Float32);
        using var served = Golden.Serve(model);
        var generator = new Generator(
            model,
            640,
            new GenerationOptions { MaxNewTokens = 70 },
            new GenerationLimits { Slots = 3 }
        );
        GenerationRequest[] requests =
        [
            .. GoldenAdapters.Kinds.Select(kind => new GenerationRequest([3, 4, 5]) { Adapter = kind }),
        ];
        generator.GenerateAll(requests);
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        generator.GenerateAll(requests);
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    private static List<int[]> Prompts(int count)
    {
        var random = new Random(17);
        return
        [
            .. Enumerable
                .Range(0, count)
                .Select(_ => Enumerable.Range(0, random.Next(1, 12)).Select(_ => random.Next(3, 640)).ToArray()),
        ];
    }

    private static DecoderModel Load(string folder, ScalarType type) =>
        ModelFolder.Load(GoldenData.Path($"glm-tiny/{folder}"), type, CPU);
}
