using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace GlmTune.Kernels.Tests;

/// <summary>The definitions against loops over doubles, and their gradients against autograd through independent
/// expressions.</summary>
public sealed class PlainKernelsTests : IDisposable
{
    private const double Epsilon = 1e-5;
    private static readonly HeadLayout Heads = new(QueryHeads: 4, KeyValueHeads: 2, HeadDim: 8, RotaryDim: 4);

    private readonly PlainKernels kernels = new();
    private readonly Generator generator;
    private readonly DisposeScope scope;

    public PlainKernelsTests()
    {
        NativeRuntime.Load();
        generator = new Generator(7, CPU);
        scope = NewDisposeScope();
    }

    public void Dispose()
    {
        scope.Dispose();
        generator.Dispose();
    }

    [Fact]
    public void Rms_norm_divides_by_the_root_mean_square()
    {
        var (x, weight) = (Random(3, 6), Random(6));
        var (output, inverse) = kernels.RmsNorm(x, weight, Epsilon);
        var (rows, scale) = (Values(x), Values(weight));
        for (var r = 0; r < 3; r++)
        {
            var squares = Enumerable.Range(0, 6).Sum(i => rows[(r * 6) + i] * rows[(r * 6) + i]);
            var expectedInverse = 1 / Math.Sqrt((squares / 6) + Epsilon);
            Assert.Equal(expectedInverse, inverse[r, 0].item<double>(), 12);
            for (var i = 0; i < 6; i++)
            {
                Assert.Equal(scale[i] * rows[(r * 6) + i] * expectedInverse, output[r, i].item<double>(), 12);
            }
        }
    }

    [Fact]
    public void A_residual_sum_is_normalised_as_it_is_returned()
    {
        var (x, delta, weight) = (Random(3, 6), Random(3, 6), Random(6));
        var (sum, output, inverse) = kernels.AddRmsNorm(x, delta, weight, Epsilon);
        var (expected, expectedInverse) = kernels.RmsNorm(x.Add(delta), weight, Epsilon);
        AssertClose(x.Add(delta), sum);
        AssertClose(expected, output);
        AssertClose(expectedInverse, inverse);
    }

    [Fact]
    public void The_norm_computes_in_float32_whatever_its_input_is()
    {
        var (x, weight) = (Random(2, 512).to(ScalarType.BFloat16), ones(512, ScalarType.BFloat16));
        var (output, inverse) = kernels.RmsNorm(x.Multiply(16), weight, Epsilon);
        Assert.Equal((ScalarType.BFloat16, ScalarType.Float32), (output.dtype, inverse.dtype));
        AssertClose(
            kernels.RmsNorm(x.to(ScalarType.Float64).Multiply(16), weight.to(ScalarType.Float64), Epsilon).InverseRms,
            inverse,
            1e-6
        );
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_norms_gradients_are_autograds(bool residual)
    {
        var (gradient, x, weight, past) = (
            Random(4, 6),
            Random(4, 6).requires_grad_(),
            Random(6).requires_grad_(),
            Random(4, 6)
        );
        (weight * x / x.Square().mean([1L], keepdim: true).Add(Epsilon).sqrt()).backward([gradient]);
        var (_, inverse) = kernels.RmsNorm(x.detach(), weight.detach(), Epsilon);
        var weightGradient = ones(6, ScalarType.Float64);
        var actual = kernels.RmsNormBackward(
            gradient,
            x.detach(),
            weight.detach(),
            inverse,
            residual ? past : null,
            weightGradient
        );
        AssertClose(residual ? x.grad!.Add(past) : x.grad!, actual);
        AssertClose(weight.grad!.Add(1), weightGradient);
    }

    [Fact]
    public void Rotation_turns_neighbouring_pairs_of_queries_and_keys_only()
    {
        var (fused, angles) = (Random(3, Heads.FusedWidth), Random(3, 2));
        var before = Values(fused);
        kernels.Rotate(fused, angles.cos(), angles.sin(), Heads);
        var after = Values(fused);
        for (var n = 0; n < 3; n++)
        {
            for (var column = 0; column < Heads.FusedWidth; column += 2)
            {
                var at = (n * Heads.FusedWidth) + column;
                var (head, feature) = (column / Heads.HeadDim, column % Heads.HeadDim);
                var turned = head < Heads.QueryHeads + Heads.KeyValueHeads && feature < Heads.RotaryDim;
                var angle = turned ? angles[n, feature / 2].item<double>() : 0;
                var expected =
                    new System.Numerics.Complex(before[at], before[at + 1])
                    * System.Numerics.Complex.FromPolarCoordinates(1, angle);
                Assert.Equal(expected.Real, after[at], 12);
                Assert.Equal(expected.Imaginary, after[at + 1], 12);
            }
        }
    }

    [Fact]
    public void Rotation_back_undoes_rotation()
    {
        var (fused, angles) = (Random(3, Heads.FusedWidth), Random(3, 2));
        var before = fused.clone();
        kernels.Rotate(fused, angles.cos(), angles.sin(), Heads);
        kernels.Rotate(fused, angles.cos(), angles.sin(), Heads, inverse: true);
        AssertClose(before, fused);
    }

    [Fact]
    public void Rotation_into_a_cache_stores_rotated_keys_and_plain_values()
    {
        var (fused, angles) = (Random(2, Heads.FusedWidth), Random(2, 2));
        var (keys, values) = (zeros([9, 16, 2, 8], ScalarType.Float64), zeros([9, 16, 2, 8], ScalarType.Float64));
        kernels.RotateAndCache(
            fused,
            angles.cos(),
            angles.sin(),
            Heads,
            new CachedBlocks(keys, values, tensor(new[] { 3, 0, 0, 0, 7, 5 }).view(3, 2)),
            tensor(new[] { 2L, 0L }),
            tensor(new[] { 20L, 1L })
        );
        AssertClose(fused.narrow(1, 32, 16).view(2, 2, 8), stack([keys[5, 4], keys[3, 1]]));
        AssertClose(fused.narrow(1, 48, 16).view(2, 2, 8), stack([values[5, 4], values[3, 1]]));
        Assert.Equal(2 * 16, keys.count_nonzero().item<long>());
    }

    [Theory]
    [InlineData(new[] { 4, 4 }, 0)]
    [InlineData(new[] { 1, 5, 3 }, 0)]
    [InlineData(new[] { 4, 4 }, 3)]
    [InlineData(new[] { 1, 5, 3 }, 2)]
    public void Attention_and_its_gradients_are_those_of_a_loop_over_tokens(int[] lengths, int virtualTokens)
    {
        using var sequences = Sequences(lengths);
        var fused = Random(sequences.Tokens, Heads.FusedWidth).requires_grad_();
        var prefix = virtualTokens == 0 ? null : Random(2, virtualTokens, 2, 8).requires_grad_();
        var gradient = Random(sequences.Tokens, Heads.QueryWidth);
        var expected = AttentionByTokens(fused, sequences, prefix);
        expected.backward([gradient]);

        using var tape = new Tape();
        var actual = kernels.Attention(fused.detach(), Heads, sequences, prefix?.detach(), tape);
        var prefixGradient = prefix is null ? null : ones_like(prefix);
        var actualGradient = kernels.AttentionBackward(gradient, Heads, sequences, prefixGradient, tape);
        AssertClose(expected.detach(), actual);
        AssertClose(fused.grad!, actualGradient);
        if (prefix is not null)
        {
            AssertClose(prefix.grad!.Add(1), prefixGradient!);
        }

        Assert.Equal(0, tape.Count);
    }

    [Fact]
    public void Attention_of_packed_sequences_is_that_of_each_alone()
    {
        using var together = Sequences([3, 6, 1]);
        var fused = Random(10, Heads.FusedWidth);
        var parts = new List<Tensor>();
        for (var i = 0; i < together.Count; i++)
        {
            using var alone = Sequences([together.LengthOf(i)]);
            parts.Add(
                kernels.Attention(fused.narrow(0, together.Starts[i], together.LengthOf(i)), Heads, alone, null, null)
            );
        }

        AssertClose(cat([.. parts]), kernels.Attention(fused, Heads, together, null, null));
    }

    [Fact]
    public void Cached_attention_of_the_last_tokens_is_that_of_the_whole_sequence()
    {
        int[] lengths = [21, 37, 5];
        int[] added = [1, 30, 3]; // A pass may mix both kinds.
        using var whole = Sequences(lengths);
        using var tail = Sequences(added);
        var fused = Random(63, Heads.FusedWidth);
        var tables = tensor(new[] { 4, 9, 0, 2, 1, 0, 8, 5, 3 }).view(3, 3);
        var cache = new CachedBlocks(Random(10, 16, 2, 8), Random(10, 16, 2, 8), tables);
        long[] slots = [1, 2, 0];
        var rows = new List<Tensor>();
        var expected = new List<Tensor>();
        var full = kernels.Attention(fused, Heads, whole, null, null);
        for (var i = 0; i < lengths.Length; i++)
        {
            var own = fused.narrow(0, whole.Starts[i], lengths[i]);
            for (var position = 0; position < lengths[i]; position++)
            {
                var block = tables[slots[i], position / 16].item<int>();
                cache.Keys[block, position % 16].copy_(own[position].narrow(0, 32, 16).view(2, 8));
                cache.Values[block, position % 16].copy_(own[position].narrow(0, 48, 16).view(2, 8));
            }

            rows.Add(own.narrow(0, lengths[i] - added[i], added[i]));
            expected.Add(full.narrow(0, whole.Starts[i + 1] - added[i], added[i]));
        }

        var device = tensor(Array.ConvertAll(lengths, length => (long)length));
        using var sequences = new CachedSequences(tail, lengths, tensor(slots), device);
        Assert.Equal(
            (1, 21, 33, 42),
            (sequences.Singles, sequences.LongestSingle, sequences.Several!.Tokens, sequences.SeveralKeys!.Tokens)
        );
        AssertClose(cat([.. expected]), kernels.CachedAttention(cat([.. rows]), Heads, cache, sequences));
    }

    [Fact]
    public void Swiglu_is_silu_of_the_gate_times_up_with_autograds_gradient()
    {
        var (gateUp, gradient) = (Random(3, 10).requires_grad_(), Random(3, 5));
        var expected = functional.silu(gateUp.narrow(1, 0, 5)) * gateUp.narrow(1, 5, 5);
        expected.backward([gradient]);
        AssertClose(expected.detach(), kernels.SwiGlu(gateUp.detach()));
        AssertClose(gateUp.grad!, kernels.SwiGluBackward(gradient, gateUp.detach()));
    }

    [Fact]
    public void Dropout_keeps_the_mean_and_repeats_by_seed()
    {
        var x = ones(400, 500, ScalarType.Float64);
        var dropped = kernels.Dropout(x, 0.3, 99);
        Assert.Equal(0.3, dropped.logical_not().to(ScalarType.Float64).mean().item<double>(), 0.005);
        Assert.Equal(1 / 0.7, dropped.max().item<double>(), 12);
        AssertClose(dropped, kernels.Dropout(x, 0.3, 99));
        var other = kernels.Dropout(x, 0.3, 100);
        // Independent masks agree on 0.7² + 0.3² of the elements.
        Assert.Equal(0.58, dropped.eq(other).to(ScalarType.Float64).mean().item<double>(), 0.005);
        AssertClose(x, kernels.Dropout(x, 0, 5));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.3)]
    public void A_low_rank_products_gradients_are_autograds(double probability)
    {
        var (x, a, gradient) = (Random(5, 6).requires_grad_(), Random(2, 6).requires_grad_(), Random(5, 2));
        var kept = DropoutMask.Kept(30, probability, 8, CPU).view(5, 6).to(ScalarType.Float64).Divide(1 - probability);
        var expected = (x * kept).mm(a.t());
        expected.backward([gradient]);
        AssertClose(expected.detach(), kernels.LowRankDown(x.detach(), a.detach(), probability, 8));
        var (inputGradient, weightGradient) = (ones(5, 6, ScalarType.Float64), ones(2, 6, ScalarType.Float64));
        kernels.LowRankDownBackward(gradient, x.detach(), a.detach(), probability, 8, inputGradient, weightGradient);
        AssertClose(x.grad!.Add(1), inputGradient);
        AssertClose(a.grad!.Add(1), weightGradient);
    }

    [Fact]
    public void Cross_entropy_sums_over_rows_and_leaves_the_scaled_gradient()
    {
        var (logits, targets) = (Random(4, 9).requires_grad_(), tensor(new[] { 3L, 0L, 8L, 3L }));
        var expected = functional.cross_entropy(logits, targets, reduction: Reduction.Sum);
        expected.backward();
        var overwritten = logits.detach().clone();
        var loss = kernels.CrossEntropy(overwritten, targets, 0.5);
        AssertClose(expected.detach(), loss);
        AssertClose(logits.grad!.Multiply(0.5), overwritten);
    }

    [Fact]
    public void AdamW_follows_its_paper()
    {
        var (master, first, second, gradient) = (
            Random(5),
            zeros(5, ScalarType.Float64),
            zeros(5, ScalarType.Float64),
            Random(5)
        );
        var compute = zeros(5, ScalarType.BFloat16);
        var (p, m, v, g) = (Values(master), new double[5], new double[5], Values(gradient));
        for (var step = 1; step <= 3; step++)
        {
            kernels.AdamW(
                master,
                gradient,
                first,
                second,
                tensor(0.5),
                new AdamWStep(0.1, 0.9, 0.99, 1e-3, 0.2, step),
                compute
            );
            for (var i = 0; i < 5; i++)
            {
                m[i] = (0.9 * m[i]) + (0.1 * 0.5 * g[i]);
                v[i] = (0.99 * v[i]) + (0.01 * 0.25 * g[i] * g[i]);
                var (unbiasedFirst, unbiasedSecond) = (
                    m[i] / (1 - Math.Pow(0.9, step)),
                    v[i] / (1 - Math.Pow(0.99, step))
                );
                p[i] -= 0.1 * ((unbiasedFirst / (Math.Sqrt(unbiasedSecond) + 1e-3)) + (0.2 * p[i]));
            }
        }

        AssertClose(tensor(p), master);
        AssertClose(tensor(m), first);
        AssertClose(tensor(v), second);
        AssertClose(master.to(ScalarType.BFloat16).to(ScalarType.Float64), compute.to(ScalarType.Float64));
    }

    [Fact]
    public void An_embeddings_gradient_adds_up_for_repeated_tokens()
    {
        var (gradient, target) = (Random(4, 3), ones(5, 3, ScalarType.Float64));
        kernels.AddEmbeddingGradient(gradient, tensor(new[] { 2L, 0L, 2L, 4L }), target);
        AssertClose(
            stack([
                gradient[1].Add(1),
                ones(3, ScalarType.Float64),
                gradient[0].Add(gradient[2]).Add(1),
                ones(3, ScalarType.Float64),
                gradient[3].Add(1),
            ]),
            target
        );
    }

    [Fact]
    public void Projection_adds_bias_and_residual()
    {
        var (x, weight, bias, residual) = (Random(2, 3), Random(4, 3), Random(4), Random(2, 4));
        AssertClose(x.mm(weight.transpose(0, 1)).Add(bias).Add(residual), kernels.Project(x, weight, bias, residual));
        AssertClose(kernels.SwiGlu(x.mm(weight.transpose(0, 1))), kernels.ProjectSwiGlu(x, weight));
    }

    [Fact]
    public void The_largest_logit_is_sought_among_the_first_only()
    {
        var logits = tensor(
            new[,]
            {
                { 1f, 5f, 9f },
                { 4f, 2f, 7f },
            }
        );
        Assert.Equal([1, 0, 5, 4], kernels.ArgMax(logits, 2).data<double>().ToArray());
        Assert.Equal([2, 2, 9, 7], kernels.ArgMax(logits, 3).data<double>().ToArray());
    }

    private static Tensor AttentionByTokens(Tensor fused, SequenceLayout sequences, Tensor? prefix)
    {
        var outputs = new List<Tensor>();
        for (var i = 0; i < sequences.Count; i++)
        {
            for (var t = 0; t < sequences.LengthOf(i); t++)
            {
                for (var h = 0; h < Heads.QueryHeads; h++)
                {
                    var group = h / Heads.GroupSize;
                    Tensor Part(int offset, int half)
                    {
                        var own = fused.narrow(0, sequences.Starts[i], t + 1).narrow(1, offset, Heads.HeadDim);
                        return prefix is null ? own : cat([prefix[half].select(1, group), own]);
                    }

                    var query = fused[sequences.Starts[i] + t].narrow(0, h * Heads.HeadDim, Heads.HeadDim);
                    var keys = Part(Heads.QueryWidth + (group * Heads.HeadDim), 0);
                    var values = Part(Heads.QueryWidth + Heads.KeyValueWidth + (group * Heads.HeadDim), 1);
                    var weights = (keys * query).sum([1L]).Divide(Math.Sqrt(Heads.HeadDim));
                    weights = weights.exp() / weights.exp().sum();
                    outputs.Add((weights.unsqueeze(1) * values).sum([0L]));
                }
            }
        }

        return cat([.. outputs]).view(sequences.Tokens, Heads.QueryWidth);
    }

    private static SequenceLayout Sequences(int[] lengths)
    {
        var starts = new int[lengths.Length + 1];
        for (var i = 0; i < lengths.Length; i++)
        {
            starts[i + 1] = starts[i] + lengths[i];
        }

        return new SequenceLayout(starts, CPU);
    }

    private static double[] Values(Tensor x) => x.data<double>().ToArray();

    private static void AssertClose(Tensor expected, Tensor actual, double tolerance = 1e-10)
    {
        Assert.Equal(expected.shape, actual.shape);
        var difference = (expected.to(ScalarType.Float64) - actual.to(ScalarType.Float64)).abs().max().item<double>();
        var size = expected.to(ScalarType.Float64).abs().max().item<double>();
        Assert.True(difference <= tolerance * Math.Max(1, size), $"differs by {difference:E2} of {size:E2}");
    }

    private Tensor Random(params long[] shape) => randn(shape, ScalarType.Float64, generator: generator);
}
