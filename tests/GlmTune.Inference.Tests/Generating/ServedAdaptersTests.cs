using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>Adapters of all kinds in one batch, against each attached by itself, which golden values cover.</summary>
public class ServedAdaptersTests
{
    private static readonly string[] Kinds = ["lora", "lora_all", "rslora", "dora", "prefix"];

    [Theory]
    [InlineData("model-hf")]
    [InlineData("model-chatglm")]
    public void A_row_of_a_mixed_batch_has_the_logits_that_its_adapter_gives_alone(string folder)
    {
        using var scope = NewDisposeScope();
        using var model = Load(folder, ScalarType.Float64);
        string?[] rows = [null, "lora", "prefix", "dora", "lora_all", null, "rslora", "lora"];
        var prompts = Prompts(rows.Length);
        var alone = rows.Zip(prompts)
            .Select(row => Attached(model, row.First, () => Logits(model, [row.Second], null)))
            .ToList();
        using var served = Serve(model);
        ServedAdapter?[] adapters =
        [
            .. rows.Select(name => served.All.FirstOrDefault(adapter => adapter.Name == name)),
        ];
        var together = Logits(model, prompts, adapters);
        foreach (var (row, expected) in alone.Index())
        {
            Assert.Equal(0, (together[row] - expected[0]).abs().max().item<double>(), 1e-12);
        }

        // They must differ from the base's, or the comparison could not fail.
        var bare = Logits(model, prompts, null);
        Assert.All(
            rows.Index().Where(row => row.Item is not null),
            row => Assert.True((bare[row.Index] - together[row.Index]).abs().max().item<double>() > 1e-4)
        );
    }

    [Theory]
    [InlineData(16, 4096)]
    [InlineData(3, 4096)]
    [InlineData(16, 5)]
    public void Greedy_answers_of_a_mixed_batch_are_those_of_each_alone(int slots, int passTokens)
    {
        using var model = Load("model-hf", ScalarType.Float32);
        var rows = Enumerable.Range(0, 14).Select(i => i % 6 == 0 ? null : Kinds[(i % 6) - 1]).ToList();
        var prompts = Prompts(rows.Count);
        GenerationRequest Request(int row, string? adapter) =>
            new(prompts[row])
            {
                Adapter = adapter,
                Options = new() { MaxNewTokens = 6 + (row * 5 % 11), EosTokenIds = [.. Enumerable.Range(0, 9)] },
            };
        var expected = rows.Index()
            .Select(row =>
                Attached(model, row.Item, () => new Generator(model, 640).Generate(Request(row.Index, null)).Tokens)
            )
            .ToList();
        using var served = Serve(model);
        var generator = new Generator(
            model,
            640,
            limits: new GenerationLimits { Slots = slots, PassTokens = passTokens }
        );
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
        var expected = Attached(model, adapter, () => new Generator(model, 640).Generate(request).Tokens);
        using var served = Serve(model);
        Assert.Equal(expected, new Generator(model, 640).Generate(request with { Adapter = adapter }).Tokens);
    }

    [Fact]
    public void Unloading_leaves_the_others_as_they_were_and_no_tensor_behind()
    {
        using var scope = NewDisposeScope();
        using var model = Load("model-hf", ScalarType.Float64);
        var prompts = Prompts(1);
        var bare = Logits(model, prompts, null)[0];
        var expected = Attached(model, "lora", () => Logits(model, prompts, null))[0];
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        for (var round = 0; round < 3; round++)
        {
            var versions = new List<long> { model.Version };
            using var served = Serve(model);
            versions.Add(model.Version);
            foreach (var name in (string[])["dora", "lora_all", "prefix"])
            {
                served.Unload(name);
                versions.Add(model.Version);
            }

            using (NewDisposeScope())
            {
                Assert.Equal(
                    0,
                    (Logits(model, prompts, [served.All[0]])[0] - expected).abs().max().item<double>(),
                    1e-12
                );
            }

            served.Unload("rslora");
            served.Unload("lora");
            Assert.Empty(served.All);
            versions.Add(model.Version);
            Assert.Equal(versions.Distinct().Order(), versions);
        }

        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
        Assert.Equal(0, (Logits(model, prompts, null)[0] - bare).abs().max().item<double>());
        using var attached = AdapterFolder.Load(Adapter("lora"), model);
        Assert.Throws<InvalidOperationException>(() => new ServedAdapters(model));
        attached.Detach(model);
    }

    [Fact]
    public void An_unloaded_adapters_row_fails_and_the_others_go_on()
    {
        using var model = Load("model-hf", ScalarType.Float32);
        using var served = Serve(model);
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

        Assert.Equal((6, "The adapter 'prefix' was unloaded while it answered."), (tokens, Assert.Single(errors)));
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
            served.Load("lora", Adapter("lora"));
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
                4 => () => served.Load("other", Adapter("lora_all")),
                8 => () => served.Load("dora", Adapter("dora")),
                10 => () => served.Load("prefix", Adapter("prefix")),
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
            "there are none",
            Assert.Throws<ArgumentException>(() => generator.Generate(new([3]) { Adapter = "x" })).Message,
            StringComparison.Ordinal
        );
        using var served = Serve(model);
        Assert.Contains(
            "'lora', 'lora_all'",
            Assert.Throws<ArgumentException>(() => generator.Generate(new([3]) { Adapter = "x" })).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "'lora' already",
            Assert.Throws<ArgumentException>(() => served.Load("lora", Adapter("lora"))).Message,
            StringComparison.Ordinal
        );
        Assert.Throws<ArgumentException>(() => served.Unload("x"));
    }

    [Fact]
    public void No_tensor_outlives_a_mixed_batch()
    {
        using var model = Load("model-hf", ScalarType.Float32);
        using var served = Serve(model);
        var generator = new Generator(
            model,
            640,
            new GenerationOptions { MaxNewTokens = 70 },
            new GenerationLimits { Slots = 3 }
        );
        GenerationRequest[] requests = [.. Kinds.Select(kind => new GenerationRequest([3, 4, 5]) { Adapter = kind })];
        generator.GenerateAll(requests);
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        generator.GenerateAll(requests);
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    private static ServedAdapters Serve(DecoderModel model)
    {
        var served = new ServedAdapters(model);
        foreach (var kind in Kinds)
        {
            served.Load(kind, Adapter(kind));
        }

        return served;
    }

    private static T Attached<T>(DecoderModel model, string? adapter, Func<T> run)
    {
        if (adapter is null)
        {
            return run();
        }

        using var attached = AdapterFolder.Load(Adapter(adapter), model);
        try
        {
            return run();
        }
        finally
        {
            attached.Detach(model);
        }
    }

    // First the whole prompts, then one more token for each: logits of both, [2, V] for each row.
    private static List<Tensor> Logits(DecoderModel model, List<int[]> prompts, ServedAdapter?[]? adapters)
    {
        using var scope = NewDisposeScope();
        using var cache = model.NewCache(prompts.Count, 32);
        int[] slots = [.. Enumerable.Range(0, prompts.Count).Reverse()];
        int[] virtualTokens =
        [
            .. prompts.Select(
                (_, row) => adapters is null ? model.VirtualTokens : ((ICausalLm)model).VirtualTokensOf(adapters[row])
            ),
        ];
        int[] lengths = [.. prompts.Select(prompt => prompt.Length)];
        foreach (var (row, adapter) in (adapters ?? []).Index())
        {
            model.StartSlot(cache, slots[row], adapter);
        }

        var starts = lengths.Aggregate(new List<int> { 0 }, (sums, length) => [.. sums, sums[^1] + length]);
        var first = model.Logits(
            [.. prompts.SelectMany(prompt => prompt)],
            new SequenceLayout(starts, CPU),
            new CacheStep(cache, slots, virtualTokens, lengths),
            lastOnly: true,
            adapters
        );
        var second = model.Logits(
            [.. prompts.Select(prompt => prompt[0])],
            SequenceLayout.OfRows(prompts.Count, 1, CPU),
            new CacheStep(
                cache,
                slots,
                [.. virtualTokens.Zip(lengths, (before, length) => before + length)],
                [.. lengths.Select(_ => 1)]
            ),
            lastOnly: true,
            adapters
        );
        return
        [
            .. Enumerable
                .Range(0, prompts.Count)
                .Select(row => stack([first[row], second[row]]).MoveToOuterDisposeScope()),
        ];
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

    private static string Adapter(string kind) => GoldenData.Path($"glm-tiny/adapter-{kind}");

    private static DecoderModel Load(string folder, ScalarType type) =>
        ModelFolder.Load(GoldenData.Path($"glm-tiny/{folder}"), type, CPU);
}
