using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests.Adapters;

/// <summary>Decoding of rows with different adapters against ordinary passes; on a GPU with captured graphs.</summary>
[Collection("CUDA graphs")]
public sealed class ServedDecodingTests : IDisposable
{
    private const int Producible = 970;
    private static readonly string[] Names = ["few", "all", "dora", "unequal", "prefix"];

    private readonly TemporaryFolder folder = new();

    static ServedDecodingTests() => NativeRuntime.Load();

    [Theory]
    [InlineData(null)]
    [InlineData(4)]
    public void Rows_of_a_mixed_pass_have_the_logits_of_ordinary_passes(int? most)
    {
        using var scope = NewDisposeScope();
        using var model = CachedDecoderTests.Make(CPU, ScalarType.Float64);
        using var served = Serve(model, most);
        Compare(model, served, [4, 1, 9], 12, 1e-11, change: null);
    }

    [Fact]
    public void An_adapter_that_left_comes_back_for_the_next_pass()
    {
        using var scope = NewDisposeScope();
        using var model = CachedDecoderTests.Make(CPU, ScalarType.Float64);
        using var served = Serve(model, most: 2);
        using var cache = model.NewCache(2, 40);
        using var decoder = new CachedDecoder(model, cache, Producible);
        decoder.Begin([new DecodeRow(3, 0, 0, served.All[0]), new DecodeRow(4, 1, 0, served.All[1])]);
        decoder.Tokens();
        Assert.True(decoder.CanAdvance);
        served.BringIn([served.All[2]]);
        Assert.False(decoder.CanAdvance);
        decoder.Begin([new DecodeRow(3, 0, 1, served.All[0]), new DecodeRow(4, 1, 1, served.All[1])]);
        Assert.True(decoder.CanAdvance && served.All[0].TableRow > 0 && served.All[1].TableRow > 0);
        Assert.Contains(
            "more adapters than the 2",
            Assert
                .Throws<InvalidOperationException>(() =>
                    decoder.Begin([.. served.All.Take(3).Select((adapter, row) => new DecodeRow(3, row, 1, adapter))])
                )
                .Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Another_adapter_on_the_same_layers_leaves_captured_passes_valid()
    {
        using var scope = NewDisposeScope();
        using var model = CachedDecoderTests.Make(CPU, ScalarType.Float64);
        using var shape = CachedDecoderTests.Make(CPU, ScalarType.Float64);
        using var served = Serve(model, most: 4);
        var before = model.Version;
        served.Unload("unequal");
        Assert.Equal(before, model.Version);
        served.Add(served.TryRead("unequal", folder.At("unequal"), shape)!);
        Assert.Equal(before, model.Version);
    }

    [Fact]
    public void A_captured_pass_is_replayed_whatever_adapters_its_rows_have()
    {
        var device = CachedDecoderTests.Gpu();
        using var scope = NewDisposeScope();
        using var model = CachedDecoderTests.Make(device, ScalarType.BFloat16);
        using var shape = CachedDecoderTests.Make(device, ScalarType.BFloat16);
        using var served = Serve(model, most: 4);
        Compare(
            model,
            served,
            [5, 13, 40],
            60,
            0.06,
            change: (step, decoder) =>
            {
                Assert.Null(decoder.Refusal);
                Assert.True(step < 30 || decoder.CaptureCount == 1, $"{decoder.CaptureCount} captures at step {step}");
                if (step == 35)
                {
                    // Another adapter on the same layers: tables and graphs stay where they are.
                    served.Unload("unequal");
                    served.Add(served.TryRead("unequal", folder.At("unequal"), shape)!);
                }
            }
        );
    }

    public void Dispose() => folder.Dispose();

    private static void Compare(
        DecoderModel model,
        ServedAdapters served,
        int[] counts,
        int steps,
        double tolerance,
        Action<int, CachedDecoder>? change
    )
    {
        foreach (var count in counts)
        {
            var random = new Random(count);
            using var cache = model.NewCache(count, 80);
            using var other = model.NewCache(count, 80);
            using var decoder = new CachedDecoder(model, cache, Producible);
            for (var step = 0; step < steps; step++)
            {
                var lowRank = served.All.Where(adapter => adapter.IsLowRank).ToList();
                ServedAdapter?[] adapters =
                [
                    .. Enumerable.Range(0, count).Select(row => lowRank.ElementAtOrDefault((row + step) % 5)),
                ];
                int[] ids = [.. adapters.Select(_ => random.Next(1000))];
                int[] before = [.. adapters.Select(_ => step)];
                decoder.Begin([.. ids.Select((id, row) => new DecodeRow(id, row, before[row], adapters[row]))]);
                var expected = model.Logits(
                    ids,
                    SequenceLayout.OfRows(count, 1, model.Device),
                    new CacheStep(other, [.. Enumerable.Range(0, count)], before, [.. ids.Select(_ => 1)]),
                    lastOnly: false,
                    adapters
                );
                TensorAssert.Close(expected, decoder.Logits, tolerance, $"{count} rows, step {step}");
                change?.Invoke(step, decoder);
            }
        }
    }

    // Adapters of all kinds, saved and loaded.
    private ServedAdapters Serve(DecoderModel model, int? most)
    {
        foreach (var (seed, name) in Names.Index())
        {
            using IAdapter adapter = name == "prefix" ? Prefix(model) : Attach(model, name, seed);
            Directory.CreateDirectory(folder.At(name));
            adapter.Save(folder.At(name), null);
            adapter.Detach(model);
        }

        var served = new ServedAdapters(model, most);
        foreach (var name in Names)
        {
            served.Load(name, folder.At(name));
        }

        return served;
    }

    private static PrefixTuning Prefix(DecoderModel model)
    {
        var prefix = PrefixTuning.Attach(
            model,
            new PrefixTuningOptions { VirtualTokens = 6, Initialization = PrefixInitialization.Normal }
        );
        prefix.Initialize(4);
        return prefix;
    }

    private static Lora Attach(DecoderModel model, string name, int seed)
    {
        var lora = Lora.Attach(
            model,
            new LoraOptions
            {
                Rank = name == "few" ? 5 : 8,
                Alpha = 7 + seed,
                InitWeights = LoraInitialization.Random,
                TargetModules = name == "all" ? LoraTargets.AllLinear : null,
                RankPattern = name == "unequal" ? [new("v_proj", 19)] : [],
                UseDora = name == "dora",
            },
            name is "unequal" or "dora" ? CheckpointLayout.Library : CheckpointLayout.Original
        );
        lora.Initialize(seed);
        return lora;
    }
}
