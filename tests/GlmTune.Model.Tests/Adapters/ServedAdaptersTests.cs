using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Adapters;

/// <summary>Adapters of all kinds in one pass, against each attached by itself, which golden values cover.</summary>
public class ServedAdaptersTests
{
    private static readonly GoldenAdapters Golden = new(GoldenData.Path("glm-tiny"));

    static ServedAdaptersTests() => NativeRuntime.Load();

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
            .Select(row => Golden.Attached(model, row.First, () => Logits(model, [row.Second], null)))
            .ToList();
        using var served = Golden.Serve(model);
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

    [Fact]
    public void Unloading_leaves_the_others_as_they_were_and_no_tensor_behind()
    {
        using var scope = NewDisposeScope();
        using var model = Load("model-hf", ScalarType.Float64);
        var prompts = Prompts(1);
        var bare = Logits(model, prompts, null)[0];
        var expected = Golden.Attached(model, "lora", () => Logits(model, prompts, null))[0];
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        for (var round = 0; round < 3; round++)
        {
            var version = model.Version;
            using var served = Golden.Serve(model);
            Assert.NotEqual(version, model.Version);
            foreach (var name in (string[])["dora", "lora_all", "prefix"])
            {
                served.Unload(name);
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
        }

        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
        Assert.Equal(0, (Logits(model, prompts, null)[0] - bare).abs().max().item<double>());
        using var attached = AdapterFolder.Load(Golden.PathOf("lora"), model);
        Assert.Throws<InvalidOperationException>(() => new ServedAdapters(model));
        attached.Detach(model);
    }

    [Fact]
    public void Adapters_that_were_not_used_for_longest_leave_the_device_and_come_back()
    {
        using var scope = NewDisposeScope();
        using var model = Load("model-hf", ScalarType.Float64);
        string[] order = ["lora", "dora", "rslora", "lora", "lora_all", "dora", "prefix", "rslora"];
        var prompts = Prompts(1);
        var expected = order
            .Select(name => Golden.Attached(model, name, () => Logits(model, prompts, null))[0])
            .ToList();
        using var served = new ServedAdapters(model, most: 2);
        foreach (var kind in GoldenAdapters.Kinds)
        {
            served.Load(kind, Golden.PathOf(kind));
        }

        ServedAdapter Named(string name) => served.All.Single(adapter => adapter.Name == name);
        var version = model.Version;
        foreach (var (i, name) in order.Index())
        {
            var logits = Logits(model, prompts, [Named(name)])[0];
            Assert.Equal(0, (logits - expected[i]).abs().max().item<double>(), 1e-12);
            Assert.InRange(served.All.Count(adapter => adapter.TableRow > 0), 1, 2);
            Assert.True(!Named(name).IsLowRank || Named(name).TableRow > 0);
        }

        Assert.True(Named("dora").TableRow > 0 && Named("rslora").TableRow > 0);
        // Tables stay where they are, so captured passes remain valid.
        Assert.Equal(version, model.Version);
        Assert.Contains(
            "more adapters than the 2",
            Assert
                .Throws<InvalidOperationException>(() =>
                    Logits(model, [prompts[0], prompts[0], prompts[0]], [Named("lora"), Named("dora"), Named("rslora")])
                )
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void An_adapter_may_be_read_without_the_model_that_serves_it()
    {
        using var scope = NewDisposeScope();
        using var model = Load("model-hf", ScalarType.Float64);
        var prompts = Prompts(1);
        var expected = Golden.Attached(model, "lora_all", () => Logits(model, prompts, null))[0];
        using var served = new ServedAdapters(model);
        using var shape = ModelFolder.LayOut(GoldenData.Path("glm-tiny/model-hf"));
        var version = model.Version;
        var read = served.TryRead("all", Golden.PathOf("lora_all"), shape)!;
        Assert.Equal(version, model.Version);
        served.Add(read);
        // The other model is in float32.
        Assert.Equal(0, (Logits(model, prompts, [read])[0] - expected).abs().max().item<double>(), 1e-5);
        Assert.Null(served.TryRead("dora", Golden.PathOf("dora"), shape));
        Assert.Throws<ArgumentException>(() => served.Add(served.TryRead("all", Golden.PathOf("lora"), shape)!));
    }

    [Fact]
    public void Many_adapters_of_one_kind_share_the_tables()
    {
        using var scope = NewDisposeScope();
        using var model = Load("model-hf", ScalarType.Float64);
        var prompts = Prompts(1);
        var expected = Golden.Attached(model, "lora", () => Logits(model, prompts, null))[0];
        using var served = new ServedAdapters(model);
        for (var i = 0; i < 20; i++)
        {
            served.Load($"{i}", Golden.PathOf("lora"));
        }

        Assert.Equal(Enumerable.Range(1, 20), served.All.Select(adapter => adapter.TableRow));
        var version = model.Version;
        served.Unload("7");
        served.Load("again", Golden.PathOf("lora"));
        Assert.Equal(8, served.All[^1].TableRow);
        foreach (var adapter in new[] { served.All[0], served.All[15], served.All[^1] })
        {
            Assert.Equal(0, (Logits(model, prompts, [adapter])[0] - expected).abs().max().item<double>(), 1e-12);
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
            model.WritePrefix(
                cache,
                [.. Enumerable.Range(0, cache.EntriesPerSlot).Select(index => cache.BlockOf(slots[row], index))],
                adapter
            );
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

    private static DecoderModel Load(string folder, ScalarType type) =>
        ModelFolder.Load(GoldenData.Path($"glm-tiny/{folder}"), type, CPU);
}
