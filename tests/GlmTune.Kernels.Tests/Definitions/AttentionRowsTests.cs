using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Kernels.Tests.Emulation;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>The copies around the attention operators, which themselves exist on GPUs only.</summary>
public class AttentionRowsTests
{
    private static readonly HeadLayout Heads = new(QueryHeads: 4, KeyValueHeads: 2, HeadDim: 8, RotaryDim: 4);
    private static readonly int[] Starts = [0, 2, 3, 8];

    private readonly AttentionRows copies = new(new EmulatedLauncher());

    public AttentionRowsTests()
    {
        NativeRuntime.Load();
        Assert.SkipWhen(
            EmulatedLauncher.Compiler is null,
            "There is no C++ compiler to build the kernels for the CPU with."
        );
    }

    [Fact]
    public void Each_sequence_gets_the_prefix_before_its_own_keys_and_values()
    {
        using var scope = NewDisposeScope();
        using var sequences = new SequenceLayout(Starts, CPU);
        var (fused, prefix) = (randn(8, Heads.FusedWidth), randn(2, 3, 2, 8));
        var (keys, values) = copies.PrependPrefix(fused, Heads, sequences, prefix);
        for (var half = 0; half < 2; half++)
        {
            var own = fused.narrow(1, Heads.QueryWidth + (half * 16), 16);
            var parts = Enumerable
                .Range(0, 3)
                .SelectMany(i => (Tensor[])[prefix[half].view(3, 16), own.narrow(0, Starts[i], sequences.LengthOf(i))]);
            Assert.True((half == 0 ? keys : values).Equals(cat([.. parts])));
        }

        Assert.Equal([0, 5, 9, 17], sequences.CumulativeKeys(3).data<int>().ToArray());
    }

    [Theory, InlineData(3), InlineData(9)]
    public void Virtual_tokens_before_each_sequence_make_causal_attention_of_the_longer_rows_that_with_a_prefix(
        int count
    )
    {
        using var scope = NewDisposeScope();
        using var sequences = SequenceLayout.OfRows(count, 5, CPU);
        using var longer = SequenceLayout.OfRows(count, 9, CPU);
        var plain = new PlainKernels();
        var (fused, prefix, gradient) = (
            randn(5 * count, Heads.FusedWidth),
            randn(2, 4, 2, 8),
            randn(5 * count, Heads.QueryWidth)
        );
        using var tape = new Tape();
        using var longerTape = new Tape();
        var expected = plain.Attention(fused, Heads, sequences, prefix, tape);
        var actual = plain.Attention(
            AttentionRows.PrependRows(fused, Heads, sequences, prefix),
            Heads,
            longer,
            null,
            longerTape
        );
        Assert.True(expected.allclose(AttentionRows.RealRows(actual, sequences, 4), 1e-5, 1e-6));
        var prefixGradient = zeros(2, 4, 2, 8);
        var expectedGradient = plain.AttentionBackward(gradient, Heads, sequences, prefixGradient, tape);
        var outer = cat([zeros(count, 4, Heads.QueryWidth), gradient.view(count, 5, -1)], 1).flatten(0, 1);
        var all = plain.AttentionBackward(outer, Heads, longer, null, longerTape).view(count, 9, -1);
        Assert.True(expectedGradient.allclose(all.narrow(1, 4, 5).reshape(5 * count, -1), 1e-5, 1e-6));
        Assert.True(
            prefixGradient
                .view(2, 4, -1)
                .allclose(
                    stack([
                        .. all.narrow(1, 0, 4)
                            .narrow(2, Heads.QueryWidth, 2 * Heads.KeyValueWidth)
                            .sum([0L])
                            .chunk(2, 1),
                    ]),
                    1e-5,
                    1e-6
                )
        );
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void Gradients_come_together_in_one_row_and_the_prefixs_are_summed(int virtualTokens)
    {
        using var scope = NewDisposeScope();
        using var sequences = new SequenceLayout(Starts, CPU);
        var rows = 8 + (3 * virtualTokens);
        Tensor[] gradients = [randn(8, 32), randn(rows, 16), randn(rows, 16)];
        var actual = copies.Assemble(gradients, Heads, sequences, virtualTokens);
        var own = tensor(
            Enumerable
                .Range(0, 3)
                .SelectMany(i =>
                    Enumerable.Range(Starts[i], sequences.LengthOf(i)).Select(n => (long)n + ((i + 1) * virtualTokens))
                )
                .ToArray()
        );
        Assert.True(
            actual.Equals(cat([gradients[0], gradients[1].index_select(0, own), gradients[2].index_select(0, own)], 1))
        );
        if (virtualTokens > 0)
        {
            var prefixGradient = ones(2, virtualTokens, 2, 8);
            copies.AddPrefixGradient(gradients, Heads, sequences, prefixGradient);
            var expected = stack([
                .. gradients
                    .Skip(1)
                    .Select(part =>
                        stack([
                                .. Enumerable
                                    .Range(0, 3)
                                    .Select(i => part.narrow(0, Starts[i] + (i * virtualTokens), virtualTokens)),
                            ])
                            .sum([0L])
                    ),
            ]);
            Assert.True(prefixGradient.allclose(expected.view(2, virtualTokens, 2, 8).Add(1), 1e-6, 1e-6));
        }
    }

    [Fact]
    public void Cached_sequences_are_gathered_from_their_blocks()
    {
        using var scope = NewDisposeScope();
        var (keys, values) = (randn(6, 16, 2, 8), randn(6, 16, 2, 8));
        var (gatheredKeys, gatheredValues) = (zeros(30, 16), zeros(30, 16));
        new EmulatedLauncher().Launch(
            new("attention_rows", "gather_blocks", ScalarType.Float32),
            new(1),
            256,
            keys,
            values,
            tensor(new[] { 3, 1, 0, 0, 5, 0 }),
            tensor(new[] { 2L, 0L }),
            tensor(new[] { 0, 9, 30 }),
            gatheredKeys,
            gatheredValues,
            30,
            2,
            2,
            16
        );
        foreach (var (stored, gathered) in ((Tensor, Tensor)[])[(keys, gatheredKeys), (values, gatheredValues)])
        {
            var rows = stored.view(6, 16, 16);
            Assert.True(gathered.Equals(cat([rows[5].narrow(0, 0, 9), rows[3], rows[1].narrow(0, 0, 5)])));
        }
    }
}
