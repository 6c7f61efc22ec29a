using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Tests;

/// <summary>Decoding by its own way against passes of the ordinary kind, on any device; and captured passes against
/// uncaptured ones on a GPU, where one test at a time may capture.</summary>
[Collection("CUDA graphs")]
public class CachedDecoderTests
{
    private const int Vocabulary = 1000;
    private const int Producible = 970;
    private static readonly string[] Kinds =
    [
        "base",
        "lora",
        "lora of unequal scales",
        "lora on all layers",
        "prefix",
        "prefix, library positions",
        "Nf4",
        "Int8",
    ];

    static CachedDecoderTests()
    {
        NativeRuntime.Load();
        set_num_threads(1); // Nothing here is large enough to be shared out.
    }

    public static TheoryData<string, bool> Cases
    {
        get
        {
            var cases = new TheoryData<string, bool>();
            foreach (var kind in Kinds)
            {
                cases.Add(kind, false);
                cases.Add(kind, true);
            }

            return cases;
        }
    }

    public static TheoryData<string> KindNames => [.. Kinds];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_are_those_of_ordinary_passes_while_rows_come_and_go_and_the_cache_grows(
        string kind,
        bool fillsUp
    )
    {
        using var scope = NewDisposeScope();
        using var model = Make(CPU, ScalarType.Float64);
        using var adapter = Attach(kind, model);
        var sequences = Sequences(4, 70);
        using var cache = model.NewCache(6, 24);
        using var other = model.NewCache(6, 80);
        using var decoder = new CachedDecoder(model, cache, Producible, fillsUp);
        int[] lengths = [3, 17, 1, 9];
        int[] slots = [5, 0, 3, 1];
        foreach (var (sequence, length) in lengths.Index())
        {
            Prefill(model, cache, slots[sequence], sequences[sequence], length);
            Prefill(model, other, slots[sequence], sequences[sequence], length);
        }

        for (var step = 0; step < 40; step++)
        {
            // Three of four at first, then others, then all; room for more when it is needed.
            int[] rows =
                step < 5 ? [0, 1, 2]
                : step < 12 ? [3, 2]
                : step < 15 ? [1]
                : [3, 0, 1, 2];
            if (rows.Max(row => lengths[row]) + model.VirtualTokens == cache.Capacity)
            {
                cache.Widen(cache.Capacity + 16);
            }

            decoder.Begin([
                .. rows.Select(row => new DecodeRow(
                    sequences[row][lengths[row]],
                    slots[row],
                    model.VirtualTokens + lengths[row]
                )),
            ]);
            var expected = Ordinary(
                model,
                other,
                [.. rows.Select(row => (sequences[row][lengths[row]], slots[row], lengths[row]))]
            );
            TensorAssert.Close(expected, decoder.Logits, 1e-12, $"step {step}");
            Assert.Equal(Argmax(expected), Ids(decoder.Tokens()));
            foreach (var row in rows)
            {
                lengths[row]++;
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Going_on_is_beginning_with_the_likeliest_tokens(bool fillsUp)
    {
        using var scope = NewDisposeScope();
        using var model = Make(CPU, ScalarType.Float32);
        var sequences = Sequences(3, 20);
        using var cache = model.NewCache(3, 64);
        using var other = model.NewCache(3, 64);
        using var decoder = new CachedDecoder(model, cache, Producible, fillsUp);
        var last = new int[3];
        foreach (var (slot, sequence) in sequences.Index())
        {
            Prefill(model, cache, slot, sequence, 10 + slot);
            Prefill(model, other, slot, sequence, 10 + slot);
            last[slot] = sequence[10 + slot];
        }

        decoder.Begin([.. last.Select((id, slot) => new DecodeRow(id, slot, 10 + slot))]);
        for (var step = 0; step < 20; step++)
        {
            // The next pass is under way before this one's tokens are asked for.
            decoder.Advance();
            var expected = Argmax(Ordinary(model, other, [.. last.Select((id, slot) => (id, slot, 10 + slot + step))]));
            last = Ids(decoder.Tokens());
            Assert.Equal(expected, last);
        }
    }

    [Fact]
    public void Adapters_may_change_between_passes()
    {
        using var scope = NewDisposeScope();
        using var model = Make(CPU, ScalarType.Float64);
        using var cache = model.NewCache(1, 16);
        using var decoder = new CachedDecoder(model, cache, Producible);
        Tensor Decoded()
        {
            decoder.Begin([new DecodeRow(7, 0, 0)]);
            return decoder.Logits.clone();
        }

        var bare = Decoded();
        using (var lora = (Lora)Attach("lora", model)!)
        {
            var adapted = Decoded();
            TensorAssert.Close(Ordinary(model, cache, [(7, 0, 0)]), adapted, 1e-12, "with an adapter");
            Assert.True((adapted - bare).abs().max().item<double>() > 1e-3);
            lora.Detach(model);
        }

        Assert.False(decoder.CanAdvance);
        Assert.Throws<InvalidOperationException>(() => decoder.Advance());
        TensorAssert.Close(bare, Decoded(), 1e-12, "without");
        Assert.True(decoder.CanAdvance);
        cache.Widen(32);
        Assert.False(decoder.CanAdvance);
        using var dora = Lora.Attach(model, new LoraOptions { UseDora = true });
        dora.Initialize(1);
        Assert.False(decoder.IsUsable);
        Assert.Null(model.NewDecoder(cache, Producible));
    }

    [Fact]
    public void Misuse_is_explained()
    {
        using var scope = NewDisposeScope();
        using var model = Make(CPU, ScalarType.Float32);
        using var cache = model.NewCache(2, 4);
        using var decoder = new CachedDecoder(model, cache, Producible);
        Assert.False(decoder.CanAdvance);
        Assert.Throws<InvalidOperationException>(() => decoder.Advance());
        Assert.Throws<InvalidOperationException>(() => decoder.Tokens());
        Assert.Throws<InvalidOperationException>(() => decoder.Logits);
        Assert.Throws<ArgumentException>(() => decoder.Begin([]));
        Assert.Contains(
            "17 tokens does not fit the cache of 16",
            Assert.Throws<ArgumentException>(() => decoder.Begin([new DecodeRow(1, 0, 16)])).Message,
            StringComparison.Ordinal
        );
        decoder.Begin([new DecodeRow(1, 0, 15)]);
        Assert.False(decoder.CanAdvance);
        Assert.Throws<InvalidOperationException>(() => decoder.Advance());
        Assert.Single(decoder.Tokens());
        Assert.Throws<InvalidOperationException>(() => decoder.Tokens());
    }

    [Fact]
    public void No_tensor_is_left_over()
    {
        using var model = Make(CPU, ScalarType.Float32);
        using var cache = model.NewCache(4, 64);
        var before = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var held = new List<long>();
        using (var decoder = new CachedDecoder(model, cache, Producible, fillsUp: true))
        {
            for (var step = 0; step < 12; step++)
            {
                decoder.Begin([.. Enumerable.Range(0, 1 + (step % 4)).Select(slot => new DecodeRow(slot, slot, step))]);
                decoder.Advance();
                decoder.Tokens();
                held.Add(DisposeScopeManager.Statistics.ThreadTotalLiveCount);
            }
        }

        Assert.Equal(held[3], held[11]);
        Assert.Equal(before, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    [Theory]
    [MemberData(nameof(KindNames))]
    public void Captured_passes_give_what_uncaptured_ones_give(string kind)
    {
        var device = Gpu();
        using var scope = NewDisposeScope();
        using var model = Make(device, ScalarType.BFloat16);
        using var adapter = Attach(kind, model);
        foreach (var count in (int[])[1, 3, 8, 13, 40, 64, 65])
        {
            var sequences = Sequences(count, 8);
            using var cache = model.NewCache(count, 600);
            using var other = model.NewCache(count, 600);
            using var captured = new CachedDecoder(model, cache, Producible);
            using var plain = new CachedDecoder(model, other, Producible) { MayCapture = false };
            var first = new int[count];
            foreach (var (slot, sequence) in sequences.Index())
            {
                Prefill(model, cache, slot, sequence, 1 + (slot % 5));
                Prefill(model, other, slot, sequence, 1 + (slot % 5));
                first[slot] = sequence[7];
            }

            DecodeRow[] rows =
            [
                .. first.Select((id, slot) => new DecodeRow(id, slot, model.VirtualTokens + 1 + (slot % 5))),
            ];
            captured.Begin(rows);
            plain.Begin(rows);
            for (var step = 0; step < 60; step++)
            {
                Assert.True(
                    captured.Logits.Equals(plain.Logits),
                    $"{count} rows, step {step}: logits differ by up to "
                        + $"{(captured.Logits - plain.Logits).abs().max().to_type(ScalarType.Float32).item<float>()}"
                );
                captured.Advance();
                plain.Advance();
                Assert.Equal(plain.Tokens(), captured.Tokens());
            }

            Assert.Null(captured.Refusal);
            Assert.True(
                captured.Captures && captured.CaptureCount == 1 && plain.CaptureCount == 0,
                $"{captured.CaptureCount} captures"
            );
        }
    }

    [Theory]
    [MemberData(nameof(KindNames))]
    public void Logits_on_a_GPU_are_those_of_ordinary_passes(string kind)
    {
        var device = Gpu();
        using var scope = NewDisposeScope();
        using var model = Make(device, ScalarType.BFloat16);
        using var adapter = Attach(kind, model);
        foreach (var count in (int[])[1, 5, 20])
        {
            var sequences = Sequences(count, 40);
            using var cache = model.NewCache(count, 700);
            using var other = model.NewCache(count, 700);
            using var decoder = new CachedDecoder(model, cache, Producible);
            for (var slot = 0; slot < count; slot++)
            {
                Prefill(model, cache, slot, sequences[slot], 5);
                Prefill(model, other, slot, sequences[slot], 5);
            }

            for (var place = 5; place < 40; place++)
            {
                decoder.Begin([
                    .. sequences.Select(
                        (sequence, slot) => new DecodeRow(sequence[place], slot, model.VirtualTokens + place)
                    ),
                ]);
                var expected = Ordinary(
                    model,
                    other,
                    [.. sequences.Select((sequence, slot) => (sequence[place], slot, place))]
                );
                TensorAssert.Close(expected, decoder.Logits, 0.04, $"{count} rows, place {place}");
            }

            Assert.Null(decoder.Refusal);
        }
    }

    [Fact]
    public void Captures_survive_what_makes_them_stale()
    {
        var device = Gpu();
        using var scope = NewDisposeScope();
        using var model = Make(device, ScalarType.BFloat16);
        using var cache = model.NewCache(4, 100);
        using var decoder = new CachedDecoder(model, cache, Producible);
        void Run(int from, int count)
        {
            for (var place = from; place < from + count; place++)
            {
                decoder.Begin([new DecodeRow(place, 2, place), new DecodeRow(place + 1, 0, place)]);
                decoder.Tokens();
            }
        }

        Run(0, 20);
        Assert.Equal(1, decoder.CaptureCount);
        cache.Widen(1500);
        Run(20, 20);
        Assert.Equal(2, decoder.CaptureCount);
        Run(500, 30); // Beyond 512 attention is cut into other parts.
        Assert.Equal(3, decoder.CaptureCount);
        using var lora = Attach("lora", model);
        Run(600, 10);
        Assert.Equal(4, decoder.CaptureCount);
        Assert.Null(decoder.Refusal);
    }

    [Fact]
    public void Decoders_give_back_the_memory_of_a_GPU()
    {
        var device = Gpu();
        using var scope = NewDisposeScope();
        using var model = Make(device, ScalarType.BFloat16);
        var free = new List<long>();
        for (var round = 0; round < 12; round++)
        {
            using var cache = model.NewCache(16, 600);
            using var decoder = new CachedDecoder(model, cache, Producible);
            for (var place = 0; place < 10; place++)
            {
                decoder.Begin([.. Enumerable.Range(0, 16).Select(slot => new DecodeRow(slot, slot, place))]);
                decoder.Tokens();
            }

            Assert.Equal(1, decoder.CaptureCount);
            free.Add(DeviceMemory.Of(device)!.Value.Free);
        }

        Assert.True(
            free[2] - free[^1] < 4L << 20,
            $"{(free[2] - free[^1]) >> 10} KiB fewer are free after nine more decoders"
        );
    }

    internal static Device Gpu()
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        return device;
    }

    internal static Glm4Model Make(Device device, ScalarType type)
    {
        var config = Glm4Config.Glm4_9B with
        {
            LayerCount = 3,
            HiddenSize = 256,
            FeedForwardSize = 320,
            QueryHeads = 4,
            KeyValueHeads = 2,
            HeadDim = 64,
            VocabularySize = Vocabulary,
            RotaryBase = 10_000,
        };
        var model = new Glm4Model(config, type, device);
        model.InitializeRandomly(3);
        foreach (var parameter in model.BaseParameters.Where(parameter => parameter.Shape.Length == 2))
        {
            parameter.Value.MultiplyInPlace(4); // So that layers matter beside the residual stream.
        }

        return model;
    }

    private static IAdapter? Attach(string kind, DecoderModel model)
    {
        if (kind == "base")
        {
            return null;
        }

        if (Enum.TryParse<FrozenType>(kind, out var stored))
        {
            foreach (var layer in model.Layers)
            {
                foreach (var linear in layer.Linears)
                {
                    model.Quantize(layer, linear.Weight, new Quantization(stored, Backward: false));
                }
            }

            return null;
        }

        if (kind.StartsWith("prefix", StringComparison.Ordinal))
        {
            var prefix = PrefixTuning.Attach(
                model,
                new PrefixTuningOptions
                {
                    VirtualTokens = 6,
                    Positions = kind == "prefix" ? PrefixPositions.Original : PrefixPositions.Library,
                    Initialization = PrefixInitialization.Normal,
                }
            );
            prefix.Initialize(4);
            return prefix;
        }

        var unequal = kind == "lora of unequal scales";
        var options = new LoraOptions
        {
            Rank = 8,
            Alpha = kind == "lora" ? 16 : 7,
            InitWeights = LoraInitialization.Random,
            TargetModules = kind == "lora on all layers" ? LoraTargets.AllLinear : null,
            RankPattern = unequal ? [new("v_proj", 16)] : [],
        };
        var lora = Lora.Attach(model, options, unequal ? CheckpointLayout.Library : CheckpointLayout.Original);
        lora.Initialize(2);
        return lora;
    }

    private static int[][] Sequences(int count, int length)
    {
        var random = new Random(count);
        return
        [
            .. Enumerable
                .Range(0, count)
                .Select(_ => Enumerable.Range(0, length).Select(_ => random.Next(Vocabulary)).ToArray()),
        ];
    }

    private static void Prefill(DecoderModel model, KvCache cache, int slot, int[] sequence, int length) =>
        model
            .Logits(
                sequence[..length],
                SequenceLayout.OfRows(1, length, model.Device),
                new CacheStep(cache, [slot], [model.VirtualTokens], [length]),
                lastOnly: true
            )
            .Dispose();

    private static Tensor Ordinary(DecoderModel model, KvCache cache, (int Id, int Slot, int Before)[] rows) =>
        model.Logits(
            [.. rows.Select(row => row.Id)],
            SequenceLayout.OfRows(rows.Length, 1, model.Device),
            new CacheStep(
                cache,
                [.. rows.Select(row => row.Slot)],
                [.. rows.Select(row => model.VirtualTokens + row.Before)],
                [.. rows.Select(_ => 1)]
            )
        );

    private static int[] Ids(ChosenToken[] tokens) => Array.ConvertAll(tokens, token => token.Id);

    private static int[] Argmax(Tensor logits)
    {
        using var scope = NewDisposeScope();
        return Array.ConvertAll(logits.narrow(1, 0, Producible).argmax(1).cpu().data<long>().ToArray(), id => (int)id);
    }
}
