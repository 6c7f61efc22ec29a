using System.Text.Json;
using GlmTune.Kernels;
using GlmTune.Model;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Testing;

/// <summary>The golden batch: left-padded rows, and what they look like without padding.</summary>
public sealed class GoldenBatch
{
    private GoldenBatch(int[][] ids, int[][] mask, int[][] labels) => (Ids, Mask, Labels) = (ids, mask, labels);

    public int[][] Ids { get; }

    public int[][] Mask { get; }

    public int[][] Labels { get; }

    public static GoldenBatch Read(string path)
    {
        using var json = JsonDocument.Parse(File.ReadAllBytes(path));
        int[][] Rows(string name) =>
            [
                .. json
                    .RootElement.GetProperty(name)
                    .EnumerateArray()
                    .Select(row => row.EnumerateArray().Select(item => item.GetInt32()).ToArray()),
            ];
        return new GoldenBatch(Rows("input_ids"), Rows("attention_mask"), Rows("labels"));
    }

    /// <summary>Flat places of the real tokens, row by row.</summary>
    public long[] RealPositions =>
        [
            .. Ids.SelectMany((row, r) => row.Select((_, c) => (r, c)))
                .Where(place => Mask[place.r][place.c] == 1)
                .Select(place => ((long)place.r * Ids[0].Length) + place.c),
        ];

    /// <summary>Padding tokens at the start of a row.</summary>
    public int PaddingOf(int row) => Array.IndexOf(Mask[row], 1);

    internal Data.Batching.MicroBatch ToMicroBatch(params int[] rows)
    {
        rows = rows.Length == 0 ? [.. Enumerable.Range(0, Ids.Length)] : rows;
        var starts = new List<int> { 0 };
        foreach (var row in rows)
        {
            starts.Add(starts[^1] + Ids[row].Length - PaddingOf(row));
        }

        return new Data.Batching.MicroBatch
        {
            TokenIds = [.. rows.SelectMany(row => Ids[row].Skip(PaddingOf(row)))],
            Labels = [.. rows.SelectMany(row => Labels[row].Skip(PaddingOf(row)))],
            SequenceStarts = [.. starts],
            SupervisedTokens = rows.Sum(row => Labels[row].Skip(1).Count(label => label != -100)),
            Examples = rows,
        };
    }
}

/// <summary>Stored tensors as tensors in memory.</summary>
public static class StoredExpectations
{
    internal static Tensor Get(this WeightFiles files, string name) => StoredTensors.Read(files[name]);
}

/// <summary>Says how far two tensors are apart, in units of the tolerance.</summary>
public static class TensorAssert
{
    /// <summary>Fails unless every |actual − expected| is at most tolerance · (largest |expected|).</summary>
    public static void Close(Tensor expected, Tensor actual, double tolerance, string what = "")
    {
        using var scope = NewDisposeScope();
        if (!expected.shape.SequenceEqual(actual.shape))
        {
            throw new InvalidOperationException(
                $"{what}: expected [{string.Join(", ", expected.shape)}], was [{string.Join(", ", actual.shape)}]."
            );
        }

        var (wanted, got) = (
            expected.to_type(ScalarType.Float64).cpu().flatten(),
            actual.to_type(ScalarType.Float64).cpu().flatten()
        );
        var scale = Math.Max(wanted.abs().max().item<double>(), 1e-30);
        var difference = (wanted - got).abs();
        var worst = difference.max().item<double>() / scale;
        if (!(worst <= tolerance))
        {
            var place = difference.argmax().item<long>();
            throw new InvalidOperationException(
                $"{what}: {difference.GreaterThan(tolerance * scale).sum().item<long>()} of {wanted.numel()} "
                    + $"elements differ; worst at flat index {place}: expected {wanted[place].item<double>()}, was "
                    + $"{got[place].item<double>()}, {worst / tolerance:F1} times the tolerance."
            );
        }
    }
}
