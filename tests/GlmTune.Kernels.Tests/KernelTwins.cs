using GlmTune.Kernels.Definitions;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Every layer function, called on random inputs and compared with its definition in float64.</summary>
internal static class KernelTwins
{
    private const double Epsilon = 1.5625e-7;

    /// <summary>Sizes of a comparison.</summary>
    internal sealed record Sizes(
        int Tokens,
        int Hidden,
        int FeedForward,
        int Vocabulary,
        HeadLayout Heads,
        int[] Lengths,
        int VirtualTokens
    )
    {
        /// <summary>Seconds on an emulator.</summary>
        public static Sizes Small { get; } = new(5, 192, 80, 520, new(6, 2, 64, 32), [3, 1, 7, 2], 5);

        /// <summary>One layer of GLM-4-9B on few tokens.</summary>
        public static Sizes Glm4 { get; } =
            new(512, 4096, 13696, 151552, new(32, 2, 128, 64), [200, 1, 90, 65, 33, 123], 40);
    }

    /// <summary>All comparisons by name.</summary>
    public static IReadOnlyDictionary<string, Action<TwinCheck, Sizes>> All { get; } =
        new Dictionary<string, Action<TwinCheck, Sizes>>
        {
            ["rms norm"] = RmsNorm,
            ["rms norm backward"] = RmsNormBackward,
            ["rotary"] = Rotary,
            ["rotary into a cache"] = RotaryIntoCache,
            ["attention, ragged"] = (check, sizes) => Attention(check, sizes, sizes.Lengths, withPrefix: false),
            ["attention, uniform"] = (check, sizes) => Attention(check, sizes, [6, 6, 6], withPrefix: false),
            ["attention, one row of 128"] = (check, sizes) => Attention(check, sizes, [128, 128], withPrefix: false),
            ["attention, prefix"] = (check, sizes) => Attention(check, sizes, sizes.Lengths, withPrefix: true),
            ["attention, prefix of equal rows"] = (check, sizes) =>
                Attention(check, sizes with { VirtualTokens = 32 }, [96, 96, 96], withPrefix: true),
            ["cached attention, decode"] = (check, sizes) => CachedAttention(check, sizes, [1, 1, 1, 1, 1]),
            ["cached attention, decode of uneven rows"] = (check, sizes) =>
                CachedAttention(check, sizes, [1, 1, 1, 1, 1], uneven: true),
            ["cached attention, prefill"] = (check, sizes) => CachedAttention(check, sizes, [4, 1, 9, 2, 3]),
            ["cached attention, decode and prefill"] = (check, sizes) => CachedAttention(check, sizes, [1, 1, 7, 2, 3]),
            ["swiglu"] = SwiGlu,
            ["dropout"] = Dropout,
            ["low rank"] = LowRank,
            ["mixed low rank"] = MixedLowRankTwins.MixedLowRank,
            ["fp8 rounding"] = Fp8Rounding,
            ["fp8 norms"] = Fp8Norms,
            ["fp8 swiglu"] = Fp8SwiGlu,
            ["fp8 product"] = Fp8Product,
            ["cross-entropy"] = CrossEntropy,
            ["adamw"] = AdamW,
            ["compact adamw"] = CompactUpdateTwins.AdamW,
            ["coded adamw"] = CompactUpdateTwins.CodedAdamW,
            ["accumulation"] = CompactUpdateTwins.Accumulate,
            ["embedding gradient"] = EmbeddingGradient,
            ["embedding on the host"] = HostEmbedding,
            ["project"] = Project,
            ["dequantize"] = Dequantize,
            ["project nf4"] = (check, sizes) => ProjectFrozen(check, sizes, FrozenType.Nf4),
            ["project int8"] = (check, sizes) => ProjectFrozen(check, sizes, FrozenType.Int8),
            ["project fp8"] = (check, sizes) => ProjectFrozen(check, sizes, FrozenType.Fp8),
            ["argmax"] = ArgMax,
            ["sample"] = SamplingTwins.Sample,
            ["embed"] = Embed,
        };

    private static void RmsNorm(TwinCheck check, Sizes sizes)
    {
        var (x, delta, weight) = (
            check.Random(sizes.Tokens, sizes.Hidden),
            check.Random(sizes.Tokens, sizes.Hidden),
            check.Random(sizes.Hidden)
        );
        var (expected, expectedInverse) = check.Reference.RmsNorm(TwinCheck.Wide(x), TwinCheck.Wide(weight), Epsilon);
        var (output, inverse) = check.Kernels.RmsNorm(x, weight, Epsilon);
        check.Compare("output", expected, output, 2);
        check.Compare("inverse", expectedInverse, inverse, 8);
        var (wideSum, _, _) = check.Reference.AddRmsNorm(
            TwinCheck.Wide(x),
            TwinCheck.Wide(delta),
            TwinCheck.Wide(weight),
            Epsilon
        );
        var (sum, sumOutput, _) = check.Kernels.AddRmsNorm(x, delta, weight, Epsilon);
        var (expectedOutput, _) = check.Reference.RmsNorm(TwinCheck.Wide(sum), TwinCheck.Wide(weight), Epsilon);
        check.Compare("sum", wideSum, sum);
        check.Compare("sum's output", expectedOutput, sumOutput, 2);
    }

    private static void RmsNormBackward(TwinCheck check, Sizes sizes)
    {
        var (gradient, x, residual) = (
            check.Random(sizes.Tokens, sizes.Hidden),
            check.Random(sizes.Tokens, sizes.Hidden),
            check.Random(sizes.Tokens, sizes.Hidden)
        );
        var weight = check.Random(sizes.Hidden);
        var (_, inverse) = check.Kernels.RmsNorm(x, weight, Epsilon);
        var (_, wideInverse) = check.Reference.RmsNorm(TwinCheck.Wide(x), TwinCheck.Wide(weight), Epsilon);
        foreach (var full in (bool[])[false, true])
        {
            var (weightGradient, wideWeightGradient) = full
                ? (ones(sizes.Hidden, device: check.Device), ones(sizes.Hidden, ScalarType.Float64, check.Device))
                : ((Tensor?)null, (Tensor?)null);
            var expected = check.Reference.RmsNormBackward(
                TwinCheck.Wide(gradient),
                TwinCheck.Wide(x),
                TwinCheck.Wide(weight),
                wideInverse,
                full ? TwinCheck.Wide(residual) : null,
                wideWeightGradient
            );
            var actual = check.Kernels.RmsNormBackward(
                gradient,
                x,
                weight,
                inverse,
                full ? residual : null,
                weightGradient
            );
            check.Compare(
                full ? "input and residual" : "input",
                expected,
                actual,
                check.Type == ScalarType.Float32 ? 4 : 1
            );
            if (full)
            {
                check.Compare("weight", wideWeightGradient!, weightGradient!, 16);
            }
        }
    }

    private static void Rotary(TwinCheck check, Sizes sizes)
    {
        var (fused, cosine, sine) = Rows(check, sizes.Tokens, sizes.Heads);
        foreach (var inverse in (bool[])[false, true])
        {
            var (expected, actual) = (TwinCheck.Wide(fused), fused.clone());
            check.Reference.Rotate(expected, cosine, sine, sizes.Heads, inverse);
            check.Kernels.Rotate(actual, cosine, sine, sizes.Heads, inverse);
            check.Compare(inverse ? "back" : "forth", expected, actual, 2);
        }
    }

    private static void RotaryIntoCache(TwinCheck check, Sizes sizes)
    {
        var heads = sizes.Heads;
        var (fused, cosine, sine) = Rows(check, sizes.Tokens, heads);
        var slots = check.RandomIndex(4, sizes.Tokens);
        var places = TensorCreation.Range(sizes.Tokens, device: check.Device).Multiply(2);
        var random = check.RandomBlocks(slots: 4, (2 * sizes.Tokens) + 3, heads);
        CachedBlocks Empty(ScalarType type) =>
            random with
            {
                Keys = zeros(random.Keys.shape, type, check.Device),
                Values = zeros(random.Keys.shape, type, check.Device),
            };
        var (rows, cache) = (fused.clone(), Empty(check.Type));
        var (wideRows, wideCache) = (TwinCheck.Wide(fused), Empty(ScalarType.Float64));
        check.Kernels.RotateAndCache(rows, cosine, sine, heads, cache, slots, places);
        check.Reference.RotateAndCache(wideRows, cosine, sine, heads, wideCache, slots, places);
        check.Compare("rows", wideRows, rows, 2);
        check.Compare("keys", wideCache.Keys, cache.Keys, 2);
        check.Compare("values", wideCache.Values, cache.Values);
    }

    private static void Attention(TwinCheck check, Sizes sizes, int[] lengths, bool withPrefix)
    {
        var heads = sizes.Heads;
        using var sequences = Sequences(lengths, check.Device);
        var (fused, gradient) = (
            check.Random(sequences.Tokens, heads.FusedWidth),
            check.Random(sequences.Tokens, heads.QueryWidth)
        );
        var prefix = withPrefix ? check.Random(2, sizes.VirtualTokens, heads.KeyValueHeads, heads.HeadDim) : null;
        var prefixGradient = withPrefix
            ? check.RandomSingle(2, sizes.VirtualTokens, heads.KeyValueHeads, heads.HeadDim)
            : null;
        var widePrefixGradient = prefixGradient is null ? null : TwinCheck.Wide(prefixGradient);
        using var tape = new Tape();
        using var wideTape = new Tape();
        var expected = check.Reference.Attention(
            TwinCheck.Wide(fused),
            heads,
            sequences,
            prefix is null ? null : TwinCheck.Wide(prefix),
            wideTape
        );
        var actual = check.Kernels.Attention(fused, heads, sequences, prefix, tape);
        check.Compare("output", expected, actual, Loose(check));
        var expectedGradient = check.Reference.AttentionBackward(
            TwinCheck.Wide(gradient),
            heads,
            sequences,
            widePrefixGradient,
            wideTape
        );
        var actualGradient = check.Kernels.AttentionBackward(gradient, heads, sequences, prefixGradient, tape);
        var (queryWidth, keyWidth) = (heads.QueryWidth, heads.KeyValueWidth);
        check.Compare(
            "query gradient",
            expectedGradient.narrow(1, 0, queryWidth),
            actualGradient.narrow(1, 0, queryWidth),
            2 * Loose(check)
        );
        check.Compare(
            "key gradient",
            expectedGradient.narrow(1, queryWidth, keyWidth),
            actualGradient.narrow(1, queryWidth, keyWidth),
            2 * Loose(check)
        );
        check.Compare(
            "value gradient",
            expectedGradient.narrow(1, queryWidth + keyWidth, keyWidth),
            actualGradient.narrow(1, queryWidth + keyWidth, keyWidth),
            2 * Loose(check)
        );
        if (withPrefix)
        {
            // Summed from numbers of the narrow type, though kept in float32.
            check.Compare("prefix gradient", widePrefixGradient!, prefixGradient!.to(check.Type), 3 * Loose(check));
        }

        check.Compare("tape left over", zeros(1, ScalarType.Float64), tensor(new[] { (float)tape.Count }));
    }

    private static void CachedAttention(TwinCheck check, Sizes sizes, int[] added, bool uneven = false)
    {
        var heads = sizes.Heads;
        using var sequences = Sequences(added, check.Device);
        var longest = sizes.Lengths.Max() + added.Max() + 60 + (uneven ? 1200 : 0);
        var lengths = added
            .Select((count, i) => uneven ? count + i : Math.Min(longest, count + (i * longest / added.Length)))
            .ToArray();
        lengths[^1] = longest;
        var cache = check.RandomBlocks(added.Length + 2, longest + 3, heads);
        var fused = check.Random(sequences.Tokens, heads.FusedWidth);
        var slots = tensor(
                Enumerable.Range(0, added.Length).Select(i => (long)((i + 2) % (added.Length + 2))).ToArray()
            )
            .to(check.Device);
        var device = tensor(Array.ConvertAll(lengths, length => (long)length)).to(check.Device);
        using var cached = new CachedSequences(sequences, lengths, slots, device);
        var expected = check.Reference.CachedAttention(TwinCheck.Wide(fused), heads, TwinCheck.Wide(cache), cached);
        var actual = check.Kernels.CachedAttention(fused, heads, cache, cached);
        check.Compare("output", expected, actual, Loose(check));
    }

    private static void SwiGlu(TwinCheck check, Sizes sizes)
    {
        var (gateUp, gradient) = (
            check.Random(sizes.Tokens, 2 * sizes.FeedForward),
            check.Random(sizes.Tokens, sizes.FeedForward)
        );
        check.Compare(
            "output",
            check.Reference.SwiGlu(TwinCheck.Wide(gateUp)),
            check.Kernels.SwiGlu(gateUp),
            Exponential(check)
        );
        check.Compare(
            "gradient",
            check.Reference.SwiGluBackward(TwinCheck.Wide(gradient), TwinCheck.Wide(gateUp)),
            check.Kernels.SwiGluBackward(gradient, gateUp),
            Exponential(check)
        );
    }

    private static void Dropout(TwinCheck check, Sizes sizes)
    {
        var x = check.Random(sizes.Tokens, sizes.Hidden + 3); // no multiple of 16 bytes
        foreach (var (probability, seed) in ((double, long)[])[(0.1, 42), (0.5, -7_000_000_000), (0, 3)])
        {
            var expected = check.Reference.Dropout(TwinCheck.Wide(x), probability, seed);
            var actual = check.Kernels.Dropout(x, probability, seed);
            check.Compare($"p {probability}", expected, actual, 2);
            check.Compare(
                $"p {probability}: mask",
                TwinCheck.Wide(expected.to_type(ScalarType.Bool)),
                actual.to_type(ScalarType.Bool).to(ScalarType.Float32)
            );
            check.Compare(
                $"p {probability}: stored key",
                TwinCheck.Wide(actual),
                check.Kernels.Dropout(x, probability, Stored(check, seed)),
                0
            );
            check.Compare(
                $"p {probability}: stored key, plain",
                expected,
                check.Reference.Dropout(TwinCheck.Wide(x), probability, Stored(check, seed)),
                0
            );
        }
    }

    private static void LowRank(TwinCheck check, Sizes sizes)
    {
        foreach (
            var (tokens, rank, probability) in ((int, int, double)[])
                [(160, 8, 0.1), (21, 24, 0.5), (96, 24, 0.1), (48, 32, 0)]
        )
        {
            var (x, a, gradient) = (
                check.Random(tokens, sizes.Hidden),
                check.Random(rank, sizes.Hidden),
                check.Random(tokens, rank)
            );
            var (wideX, wideA, wideGradient) = (TwinCheck.Wide(x), TwinCheck.Wide(a), TwinCheck.Wide(gradient));
            var name = $"{tokens} × {rank}, p {probability}";
            check.Compare(
                name,
                check.Reference.LowRankDown(wideX, wideA, probability, 77),
                check.Kernels.LowRankDown(x, a, probability, 77),
                Sums(check)
            );
            var (inputGradient, weightGradient) = (
                check.Random(tokens, sizes.Hidden),
                check.RandomSingle(rank, sizes.Hidden)
            );
            var (wideInput, wideWeight) = (TwinCheck.Wide(inputGradient), TwinCheck.Wide(weightGradient));
            check.Reference.LowRankDownBackward(wideGradient, wideX, wideA, probability, 77, wideInput, wideWeight);
            check.Kernels.LowRankDownBackward(gradient, x, a, probability, 77, inputGradient, weightGradient);
            check.Compare($"{name}: input", wideInput, inputGradient, 2 * Sums(check));
            check.Compare($"{name}: weight", wideWeight, weightGradient.to(check.Type), 2 * Sums(check));
            check.Compare(
                $"{name}: stored key",
                TwinCheck.Wide(check.Kernels.LowRankDown(x, a, probability, 77)),
                check.Kernels.LowRankDown(x, a, probability, Stored(check, 77)),
                0
            );
            var (againInput, againWeight) = (inputGradient.clone(), weightGradient.clone());
            check.Kernels.LowRankDownBackward(gradient, x, a, probability, 77, inputGradient, weightGradient);
            check.Kernels.LowRankDownBackward(gradient, x, a, probability, Stored(check, 77), againInput, againWeight);
            check.Compare($"{name}: input, stored key", TwinCheck.Wide(inputGradient), againInput, 0);
            check.Compare($"{name}: weight, stored key", TwinCheck.Wide(weightGradient), againWeight, 0);
        }
    }

    // The same numbers in: the same codes and scales out, to the bit. Rows of zeros, of one outlier and of tiny numbers
    // among them.
    private static void Fp8Rounding(TwinCheck check, Sizes sizes)
    {
        var x = check.RandomSingle(6, sizes.Hidden);
        x[0].zero_();
        x[1, 3] = 20000.0f;
        x[2].MultiplyInPlace(1e-6f);
        x[3]
            .mul_(
                tensor(Enumerable.Range(0, sizes.Hidden).Select(i => (float)Math.Pow(2, -(i % 18))).ToArray())
                    .to(check.Device)
            );
        x = x.to(check.Type);
        var (expected, actual) = (check.Reference.QuantizeRows(x), check.Kernels.QuantizeRows(x));
        check.Compare("scales", TwinCheck.Wide(expected.Scales), actual.Scales, 0);
        check.Compare(
            "codes",
            TwinCheck.Wide(expected.Values.to(ScalarType.Float32)),
            actual.Values.to(ScalarType.Float32),
            0
        );
    }

    private static void Fp8Norms(TwinCheck check, Sizes sizes)
    {
        var (x, delta, weight) = (
            check.Random(sizes.Tokens, sizes.Hidden),
            check.Random(sizes.Tokens, sizes.Hidden),
            check.Random(sizes.Hidden)
        );
        var (plainOutput, plainInverse) = check.Kernels.RmsNorm(x, weight, Epsilon);
        var (output, quantized, inverse) = check.Kernels.RmsNormFp8(x, weight, Epsilon, keepOutput: true);
        check.Compare("output", TwinCheck.Wide(plainOutput), output!, 0);
        check.Compare("inverse", TwinCheck.Wide(plainInverse), inverse, 0);
        CompareQuantized(check, "norm", check.Reference.QuantizeRows(output!), quantized, 0);
        var (alone, again, _) = check.Kernels.RmsNormFp8(x, weight, Epsilon, keepOutput: false);
        check.Compare("nothing kept", zeros(1, ScalarType.Float64), tensor(new[] { alone is null ? 0f : 1f }));
        CompareQuantized(check, "norm alone", quantized, again, 0);
        var (plainSum, plainSumOutput, _) = check.Kernels.AddRmsNorm(x, delta, weight, Epsilon);
        var (sum, sumOutput, sumQuantized, _) = check.Kernels.AddRmsNormFp8(
            x,
            delta,
            weight,
            Epsilon,
            keepOutput: true
        );
        check.Compare("sum", TwinCheck.Wide(plainSum), sum, 0);
        check.Compare("sum's output", TwinCheck.Wide(plainSumOutput), sumOutput!, 0);
        CompareQuantized(check, "sum's norm", check.Reference.QuantizeRows(sumOutput!), sumQuantized, 0);
        var (gradient, residual) = (check.Random(sizes.Tokens, sizes.Hidden), check.Random(sizes.Tokens, sizes.Hidden));
        var plainBack = check.Reference.RmsNormBackward(
            TwinCheck.Wide(gradient),
            TwinCheck.Wide(x),
            TwinCheck.Wide(weight),
            TwinCheck.Wide(inverse),
            TwinCheck.Wide(residual),
            null
        );
        var (back, backQuantized) = check.Kernels.RmsNormBackwardFp8(gradient, x, weight, inverse, residual);
        check.Compare("gradient", plainBack, back, check.Type == ScalarType.Float32 ? 4 : 1);
        CompareQuantized(check, "gradient", check.Reference.QuantizeRows(back), backQuantized, 0);
    }

    private static void Fp8SwiGlu(TwinCheck check, Sizes sizes)
    {
        var (gateUp, gradient) = (
            check.Random(sizes.Tokens, 2 * sizes.FeedForward),
            check.Random(sizes.Tokens, sizes.FeedForward)
        );
        CompareQuantized(
            check,
            "output",
            check.Reference.QuantizeRows(check.Kernels.SwiGlu(gateUp)),
            check.Kernels.SwiGluFp8(gateUp),
            0
        );
        CompareQuantized(
            check,
            "gradient",
            check.Reference.QuantizeRows(check.Kernels.SwiGluBackward(gradient, gateUp)),
            check.Kernels.SwiGluBackwardFp8(gradient, gateUp),
            0
        );
    }

    private static void Fp8Product(TwinCheck check, Sizes sizes)
    {
        foreach (var rows in (int[])[sizes.Tokens, 1, 19])
        {
            var (outputs, inputs) = (sizes.Heads.FusedWidth, sizes.Hidden);
            var (x, gradient, bias) = (check.Random(rows, inputs), check.Random(rows, outputs), check.Random(outputs));
            foreach (var keeps in (bool[])[true, false])
            {
                using var weight = Fp8Matrix.Quantize(check.Random(outputs, inputs).Multiply(0.02), keeps);
                var (quantizedX, quantizedGradient) = (
                    check.Kernels.QuantizeRows(x),
                    check.Kernels.QuantizeRows(gradient)
                );
                check.Compare(
                    $"{rows} rows",
                    check.Reference.Fp8Product(quantizedX, weight, TwinCheck.Wide(bias), ScalarType.Float64),
                    check.Kernels.Fp8Product(quantizedX, weight, bias, check.Type),
                    2 * Fp8Sums(check)
                );
                check.Compare(
                    $"{rows} rows, gradient",
                    check.Reference.Fp8ProductBackward(quantizedGradient, weight, ScalarType.Float64),
                    check.Kernels.Fp8ProductBackward(quantizedGradient, weight, check.Type),
                    2 * Fp8Sums(check)
                );
            }
        }
    }

    private static void HostEmbedding(TwinCheck check, Sizes sizes)
    {
        var table = check.Random(50, sizes.Hidden).cpu();
        table = check.Device.type == DeviceType.CUDA ? table.pin_memory() : table;
        var ids = check.RandomIndex(50, sizes.Tokens);
        check.Compare(
            "rows",
            TwinCheck.Wide(table.index_select(0, ids.cpu()).to(check.Device)),
            check.Kernels.TokenRows(table, ids),
            0
        );
    }

    private static void CompareQuantized(
        TwinCheck check,
        string what,
        Fp8Rows expected,
        Fp8Rows actual,
        double allowance
    )
    {
        check.Compare($"{what}: scales", TwinCheck.Wide(expected.Scales), actual.Scales, allowance);
        check.Compare(
            $"{what}: codes",
            TwinCheck.Wide(expected.Values.to(ScalarType.Float32)),
            actual.Values.to(ScalarType.Float32),
            allowance
        );
    }

    private static void CrossEntropy(TwinCheck check, Sizes sizes)
    {
        var rows = Math.Min(16, sizes.Tokens);
        var logits = check.RandomSingle(rows, sizes.Vocabulary).Multiply(4).to(check.Type);
        var targets = check.RandomIndex(sizes.Vocabulary, rows);
        var (wide, copy) = (TwinCheck.Wide(logits), logits.clone());
        var expected = check.Reference.CrossEntropy(wide, targets, 0.25);
        var actual = check.Kernels.CrossEntropy(copy, targets, 0.25);
        check.Compare("loss", expected, actual, 32);
        check.Compare("gradient", wide, copy, Exponential(check));
        PartlyCounted(check, logits, targets);
    }

    // The scale in memory, and some targets that do not count.
    private static void PartlyCounted(TwinCheck check, Tensor logits, Tensor targets)
    {
        var some = targets.clone();
        some[2] = -1;
        some[some.shape[0] - 1] = -1;
        var chosen = TensorCreation.Range(some.shape[0], device: check.Device).masked_select(some.GreaterOrEqual(0));
        var counted = TwinCheck.Wide(logits.index_select(0, chosen));
        var loss = check.Reference.CrossEntropy(counted, targets.index_select(0, chosen), 0.25);
        var expected = zeros_like(TwinCheck.Wide(logits)).index_copy_(0, chosen, counted);
        var (wide, copy) = (TwinCheck.Wide(logits), logits.clone());
        var stored = tensor(new[] { 0.25f }).to(check.Device);
        check.Compare(
            "loss of some, plain",
            loss,
            check
                .Reference.CrossEntropy(wide, some, new LossScale(0, stored.to(ScalarType.Float64)))
                .to(ScalarType.Float32),
            2
        );
        check.Compare("gradient of some, plain", expected, wide.to(ScalarType.Float32), 2);
        check.Compare("loss of some", loss, check.Kernels.CrossEntropy(copy, some, new LossScale(0, stored)), 32);
        check.Compare("gradient of some", expected, copy, Exponential(check));
    }

    private static MaskSeed Stored(TwinCheck check, long seed) =>
        new(0, tensor(new[] { unchecked((int)DropoutMask.Key(seed)) }).to(check.Device));

    private static void AdamW(TwinCheck check, Sizes sizes)
    {
        foreach (var (count, offset) in ((long, long)[])[(4L * sizes.Hidden, 0), ((4L * sizes.Hidden) - 5, 3)])
        {
            Tensor Run(Tensor whole) => whole.narrow(0, offset, count);
            var (master, gradient) = (Run(check.RandomSingle(count + 8)), Run(check.Random(count + 8)));
            var (first, second) = (
                Run(check.RandomSingle(count + 8).Multiply(0.1)),
                Run(check.RandomSingle(count + 8).Square())
            );
            var compute = Run(check.Poison(check.Type, count + 8));
            var scale = tensor(0.5f).to(check.Device);
            Tensor[] wide =
            [
                TwinCheck.Wide(master),
                TwinCheck.Wide(gradient),
                TwinCheck.Wide(first),
                TwinCheck.Wide(second),
            ];
            Tensor[] stored = [master.clone(), first.clone(), second.clone()];
            Tensor[] plain = [.. stored.Select(TwinCheck.Wide)];
            for (var step = 1; step <= 3; step++)
            {
                var settings = new AdamWStep(0.01, 0.9, 0.999, 1e-8, 0.1, step);
                var (shrink, rate, inverse) = settings.Factors;
                var factors = tensor(new[] { shrink, rate, inverse }).to(check.Device);
                var later = settings with { LearningRate = 7, Step = 7, Stored = factors.to(ScalarType.Float32) };
                check.Kernels.AdamW(stored[0], gradient, stored[1], stored[2], scale, later);
                check.Reference.AdamW(
                    plain[0],
                    wide[1],
                    plain[1],
                    plain[2],
                    scale.to(ScalarType.Float64),
                    later with
                    {
                        Stored = factors,
                    }
                );
                check.Kernels.AdamW(master, gradient, first, second, scale, settings, compute);
                check.Reference.AdamW(wide[0], wide[1], wide[2], wide[3], scale.to(ScalarType.Float64), settings);
            }

            check.Compare("parameters", wide[0], master, 8);
            check.Compare("parameters, stored factors", TwinCheck.Wide(master), stored[0], offset == 0 ? 0 : 1);
            check.Compare("parameters, stored factors, plain", wide[0], plain[0].to(ScalarType.Float32), 2);
            check.Compare("first moment", wide[2], first, 8);
            check.Compare("second moment", wide[3], second, 8);
            check.Compare("copy", wide[0], compute, check.Type == ScalarType.Float32 ? 8 : 1);
        }
    }

    private static void EmbeddingGradient(TwinCheck check, Sizes sizes)
    {
        var (gradient, ids) = (
            check.Random(sizes.Tokens, sizes.Hidden),
            check.RandomIndex(3, sizes.Tokens).Multiply(7)
        );
        var target = check.RandomSingle(20, sizes.Hidden);
        var expected = TwinCheck.Wide(target);
        check.Reference.AddEmbeddingGradient(TwinCheck.Wide(gradient), ids, expected);
        check.Kernels.AddEmbeddingGradient(gradient, ids, target);
        check.Compare("target", expected, target, 32);
    }

    private static void Project(TwinCheck check, Sizes sizes)
    {
        var gateUp = check.Random(2 * sizes.FeedForward, sizes.Hidden).Multiply(1 / Math.Sqrt(sizes.Hidden));
        foreach (var rows in (int[])[1, 3, 8, 13, 20])
        {
            var (x, weight) = (
                check.Random(rows, sizes.Hidden),
                check.Random(sizes.Heads.FusedWidth - 3, sizes.Hidden).Multiply(0.1)
            );
            var (bias, residual) = (
                check.Random(sizes.Heads.FusedWidth - 3),
                check.Random(rows, sizes.Heads.FusedWidth - 3)
            );
            var (wideX, wideWeight) = (TwinCheck.Wide(x), TwinCheck.Wide(weight));
            check.Compare(
                $"{rows} rows",
                check.Reference.Project(wideX, wideWeight),
                check.Kernels.Project(x, weight),
                Sums(check)
            );
            var expected = check.Reference.Project(wideX, wideWeight, TwinCheck.Wide(bias), TwinCheck.Wide(residual));
            check.Compare(
                $"{rows} rows, bias, residual",
                expected,
                check.Kernels.Project(x, weight, bias, residual),
                Sums(check)
            );
            check.Compare(
                $"{rows} rows, swiglu",
                check.Reference.ProjectSwiGlu(wideX, TwinCheck.Wide(gateUp)),
                check.Kernels.ProjectSwiGlu(x, gateUp),
                3 * Sums(check)
            );
        }
    }

    private static void Dequantize(TwinCheck check, Sizes sizes)
    {
        foreach (var type in (FrozenType[])[FrozenType.Nf4, FrozenType.Int8, FrozenType.Fp8])
        {
            // The second is not a multiple of what a block of threads takes.
            foreach (var (rows, columns) in ((int, int)[])[(sizes.Heads.FusedWidth, sizes.Hidden), (37, 64)])
            {
                using var stored = FrozenMatrix.Quantize(check.Random(rows, columns).Multiply(0.02), type);
                var target = check.Poison(check.Type, rows, columns);
                check.Kernels.Dequantize(stored, target);
                check.Compare($"{type} [{rows}, {columns}]", stored.Dequantized(ScalarType.Float64), target, 2);
                using var stacked = Stacked(check, type, rows, columns);
                target = check.Poison(check.Type, stacked.Rows, columns);
                check.Kernels.Dequantize(stacked, target);
                check.Compare($"{type}, {stacked.Rows} rows", stacked.Dequantized(ScalarType.Float64), target, 2);
            }
        }
    }

    // Rows that were quantized separately, as query, key and value of other programs' files are.
    private static FrozenMatrix Stacked(TwinCheck check, FrozenType type, int rows, int columns) =>
        StackedMatrix.Of([
            FrozenMatrix.Quantize(check.Random(rows, columns).Multiply(0.02), type),
            FrozenMatrix.Quantize(check.Random(16, columns).Multiply(0.1), type),
        ]);

    private static void ProjectFrozen(TwinCheck check, Sizes sizes, FrozenType type)
    {
        // An odd number of outputs, and widths that end within a step of the kernel.
        var outputs = sizes.Heads.FusedWidth - 3;
        using var weight = FrozenMatrix.Quantize(check.Random(outputs, sizes.Hidden).Multiply(0.1), type);
        using var stacked = Stacked(check, type, outputs, sizes.Hidden);
        var wideStacked = stacked.Dequantized(ScalarType.Float64);
        using var gateUp = FrozenMatrix.Quantize(
            check.Random(2 * sizes.FeedForward, sizes.Hidden).Multiply(1 / Math.Sqrt(sizes.Hidden)),
            type
        );
        var (wide, wideGateUp) = (weight.Dequantized(ScalarType.Float64), gateUp.Dequantized(ScalarType.Float64));
        foreach (var rows in (int[])[1, 3, 8, 13])
        {
            var (x, bias) = (check.Random(rows, sizes.Hidden), check.Random(outputs));
            var (wideX, longBias) = (TwinCheck.Wide(x), check.Random(outputs + 16));
            check.Compare(
                $"{rows} rows",
                check.Reference.Project(wideX, wide),
                check.Kernels.Project(x, weight, () => weight.Dequantized(check.Type)),
                2 * Sums(check)
            );
            check.Compare(
                $"{rows} rows, bias",
                check.Reference.Project(wideX, wide, TwinCheck.Wide(bias)),
                check.Kernels.Project(x, weight, () => weight.Dequantized(check.Type), bias),
                2 * Sums(check)
            );
            check.Compare(
                $"{rows} rows, stacked, bias",
                check.Reference.Project(wideX, wideStacked, TwinCheck.Wide(longBias)),
                check.Kernels.Project(x, stacked, () => stacked.Dequantized(check.Type), longBias),
                2 * Sums(check)
            );
            check.Compare(
                $"{rows} rows, swiglu",
                check.Reference.ProjectSwiGlu(wideX, wideGateUp),
                check.Kernels.ProjectSwiGlu(x, gateUp, () => gateUp.Dequantized(check.Type)),
                4 * Sums(check)
            );
        }
    }

    private static void ArgMax(TwinCheck check, Sizes sizes)
    {
        var logits = check.Random(7, sizes.Vocabulary);
        foreach (var count in (int[])[sizes.Vocabulary, sizes.Vocabulary - 209, 1])
        {
            var expected = check.Reference.ArgMax(TwinCheck.Wide(logits), count);
            var chosen = check.Kernels.ArgMax(logits, count);
            // Of equals the lowest: the reference picks the value, the index must be the first to have it.
            var value = logits.gather(1, expected[0].to(ScalarType.Int64).unsqueeze(1));
            var first = logits.narrow(1, 0, count).eq(value).to(ScalarType.Int32).argmax(1);
            check.Compare($"first {count}, index", TwinCheck.Wide(first), chosen[0]);
            check.Compare($"first {count}, logit", expected[1], chosen[1]);
        }

        // NaN is the largest wherever it stands: seen by the first thread of a block or the last, before or after a
        // larger number, alone or twice, and in a row of nothing else; one past the count is not looked at. Infinities
        // are numbers.
        var last = sizes.Vocabulary - 210;
        (int Row, int From, int To, double Value, int Index)[] planted =
        [
            (0, 0, 0, double.NaN, 0),
            (1, last, last, double.NaN, last),
            (2, last / 2, last / 2, double.NaN, last / 2),
            (3, 0, last, double.NaN, 0),
            (4, last - 3, last - 1, double.NaN, last - 3),
            (5, last, last, double.PositiveInfinity, last),
            (6, 0, last, double.NegativeInfinity, 0),
        ];
        foreach (var (row, from, to, value, _) in planted)
        {
            logits[row].narrow(0, from, to - from + 1).FillInPlace(value);
            logits[row].narrow(0, last + 1, 1).FillInPlace(double.NaN);
        }

        var found = check.Kernels.ArgMax(logits, last + 1);
        check.Compare(
            "not finite, index",
            tensor(Array.ConvertAll(planted, each => (double)each.Index)).to(check.Device),
            found[0]
        );
        // Compared as 0, 1 and 2, since infinities and NaN have no difference.
        check.Compare(
            "not finite, logit",
            tensor(Array.ConvertAll(planted, each => Kind(each.Value))).to(check.Device),
            tensor([.. found[1].cpu().data<double>().Select(Kind)]).to(check.Device)
        );

        static double Kind(double value) =>
            double.IsNaN(value) ? 0
            : double.IsPositiveInfinity(value) ? 1
            : double.IsNegativeInfinity(value) ? 2
            : 3;
    }

    private static void Embed(TwinCheck check, Sizes sizes)
    {
        var (table, cosines, sines) = (
            check.Random(sizes.Vocabulary, sizes.Hidden),
            check.RandomSingle(50, sizes.Heads.RotaryDim / 2),
            check.RandomSingle(50, sizes.Heads.RotaryDim / 2)
        );
        var (ids, positions) = (check.RandomIndex(sizes.Vocabulary, 7), check.RandomIndex(50, 7));
        var expected = check.Reference.Embed(
            ids,
            positions,
            TwinCheck.Wide(table),
            TwinCheck.Wide(cosines),
            TwinCheck.Wide(sines)
        );
        var actual = check.Kernels.Embed(ids, positions, table, cosines, sines);
        check.Compare("hidden", expected.Hidden, actual.Hidden, 0);
        check.Compare("cosine", expected.Cosine, actual.Cosine, 0);
        check.Compare("sine", expected.Sine, actual.Sine, 0);
        check.Compare(
            "rows",
            check.Reference.SelectRows(TwinCheck.Wide(cosines), positions),
            check.Kernels.SelectRows(cosines, positions),
            0
        );
    }

    private static (Tensor Fused, Tensor Cosine, Tensor Sine) Rows(TwinCheck check, int tokens, HeadLayout heads)
    {
        var angles = check.RandomSingle(tokens, heads.RotaryDim / 2).Multiply(3);
        return (
            check.Random(tokens, heads.FusedWidth),
            angles.cos().to(check.Type).to(ScalarType.Float32),
            angles.sin().to(check.Type).to(ScalarType.Float32)
        );
    }

    private static SequenceLayout Sequences(int[] lengths, Device device)
    {
        var starts = new int[lengths.Length + 1];
        for (var i = 0; i < lengths.Length; i++)
        {
            starts[i + 1] = starts[i] + lengths[i];
        }

        return new SequenceLayout(starts, device);
    }

    // Probabilities are rounded to the type before they meet the values; sums over hundreds of terms.
    private static double Loose(TwinCheck check) => check.Type == ScalarType.Float32 ? 64 : 3;

    // The GPU's fast exponential has a few more wrong bits than float32's last.
    private static double Exponential(TwinCheck check) => check.Type == ScalarType.Float32 ? 32 : 1;

    // The fp8 units add up with fewer bits than float32 has.
    private static double Fp8Sums(TwinCheck check) =>
        check.Type == ScalarType.Float32 ? 64
        : check.Type == ScalarType.Float16 ? 8
        : 1.5;

    private static double Sums(TwinCheck check) => check.Type == ScalarType.Float32 ? 64 : 1.5;
}
