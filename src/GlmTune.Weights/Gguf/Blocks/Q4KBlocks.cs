using System.Buffers.Binary;
using System.Runtime.Intrinsics;

namespace GlmTune.Weights.Gguf.Blocks;

/// <summary>Q4_K: blocks of 256 values in 8 groups of 32. A value is d · s · q − e · m, with an integer q from 0 to 15;
/// s and m from 0 to 63 for each group; d and e, in half precision, for the block.</summary>
/// <remarks>Bytes: d, e; 12 bytes with the 6-bit s and m; 128 bytes with the q, where 32 bytes hold two groups, the
/// first in the low halves. For each group, scale and offset minimise the weighted squared error: several roundings
/// are tried, each with the scale and offset that least squares give for it.</remarks>
internal static class Q4KBlocks
{
    private const int Groups = 8;
    private const int GroupLength = 32;
    private const int Highest = 15;
    private const int HighestScale = 63;

    // Roundings are tried with the range of a group mapped to 14 to 16 steps.
    private const int Trials = 21;
    private const float FirstSteps = 14;
    private const float StepsBetween = 0.1f;

    /// <summary>Encodes one block.</summary>
    public static void Encode(ReadOnlySpan<float> values, Span<byte> block)
    {
        Span<float> scales = stackalloc float[Groups];
        Span<float> offsets = stackalloc float[Groups];
        for (var group = 0; group < Groups; group++)
        {
            (scales[group], offsets[group]) = Fit(values.Slice(group * GroupLength, GroupLength));
        }

        var (unit, offsetUnit) = ((Half)(Largest(scales) / HighestScale), (Half)(Largest(offsets) / HighestScale));
        BinaryPrimitives.WriteHalfLittleEndian(block, unit);
        BinaryPrimitives.WriteHalfLittleEndian(block[2..], offsetUnit);
        Span<byte> steps = stackalloc byte[Groups];
        Span<byte> offsetSteps = stackalloc byte[Groups];
        for (var group = 0; group < Groups; group++)
        {
            steps[group] = Steps(scales[group], (float)unit);
            offsetSteps[group] = Steps(offsets[group], (float)offsetUnit);
        }

        Pack(steps, offsetSteps, block.Slice(4, 12));
        for (var pair = 0; pair < Groups / 2; pair++)
        {
            var bytes = block.Slice(16 + (pair * GroupLength), GroupLength);
            bytes.Clear();
            for (var half = 0; half < 2; half++)
            {
                var group = (2 * pair) + half;
                var (scale, offset) = ((float)unit * steps[group], (float)offsetUnit * offsetSteps[group]);
                var inverse = scale == 0 ? 0 : 1 / scale;
                for (var i = 0; i < GroupLength; i++)
                {
                    var q = MathF.Round((values[(group * GroupLength) + i] + offset) * inverse);
                    bytes[i] |= (byte)((int)Math.Clamp(q, 0, Highest) << (4 * half));
                }
            }
        }
    }

    // Scale and offset (both not negative) such that values are about scale · q − offset.
    private static (float Scale, float Offset) Fit(ReadOnlySpan<float> values)
    {
        var (lowest, highest, squares) = (0f, float.MinValue, 0f);
        foreach (var value in values)
        {
            (lowest, highest) = (Math.Min(lowest, value), Math.Max(highest, value));
            squares += value * value;
        }

        if (!(highest > lowest))
        {
            return (0, -lowest);
        }

        // Large values matter more to the products that the weights are used in.
        var typical = Vector256.Create(MathF.Sqrt(squares / GroupLength));
        Span<float> importance = stackalloc float[GroupLength];
        var (weights, sums) = (Vector256<float>.Zero, Vector256<float>.Zero);
        for (var i = 0; i < GroupLength; i += Lanes.Count)
        {
            var x = Lanes.At(values, i);
            var w = typical + Vector256.Abs(x);
            w.CopyTo(importance[i..]);
            weights += w;
            sums += w * x;
        }

        var (weight, sum) = (Vector256.Sum(weights), Vector256.Sum(sums));
        var best = (Scale: (highest - lowest) / Highest, Offset: -lowest);
        var smallest = double.MaxValue;
        for (var trial = 0; trial < Trials; trial++)
        {
            var factor = (FirstSteps + (StepsBetween * trial)) / (highest - lowest);
            var (ones, twos, products) = (Vector256<float>.Zero, Vector256<float>.Zero, Vector256<float>.Zero);
            for (var i = 0; i < GroupLength; i += Lanes.Count)
            {
                var (x, w) = (Lanes.At(values, i), Lanes.At(importance, i));
                var q = Lanes.Rounded(x - Vector256.Create(lowest), factor, 0, Highest);
                var wq = w * q;
                ones += wq;
                twos += wq * q;
                products += wq * x;
            }

            double q1 = Vector256.Sum(ones),
                q2 = Vector256.Sum(twos),
                qx = Vector256.Sum(products);
            var determinant = (weight * q2) - (q1 * q1);
            if (!(determinant > 0))
            {
                continue;
            }

            var (scale, shift) = (((weight * qx) - (q1 * sum)) / determinant, ((q2 * sum) - (q1 * qx)) / determinant);
            if (shift > 0)
            {
                (scale, shift) = (qx / q2, 0);
            }

            // The weighted squared error, but for the sum of w · x², which is the same for all.
            var error =
                (scale * scale * q2)
                + (shift * shift * weight)
                + (2 * scale * shift * q1)
                - (2 * scale * qx)
                - (2 * shift * sum);
            if (scale > 0 && error < smallest)
            {
                smallest = error;
                best = ((float)scale, (float)-shift);
            }
        }

        return best;
    }

    private static float Largest(ReadOnlySpan<float> numbers)
    {
        var largest = 0f;
        foreach (var number in numbers)
        {
            largest = Math.Max(largest, number);
        }

        return largest;
    }

    private static byte Steps(float number, float unit) =>
        unit == 0 ? (byte)0 : (byte)Math.Clamp(MathF.Round(number / unit), 0, HighestScale);

    // Groups 0 to 3 have the lower 6 bits of bytes 0 to 3 (scales) and 4 to 7 (offsets). Groups 4 to 7 have their lower
    // 4 bits in the halves of bytes 8 to 11, and their upper 2 bits in the upper bits of bytes 0 to 3 and 4 to 7.
    private static void Pack(ReadOnlySpan<byte> scales, ReadOnlySpan<byte> offsets, Span<byte> bytes)
    {
        for (var i = 0; i < 4; i++)
        {
            bytes[i] = (byte)(scales[i] | ((scales[i + 4] >> 4) << 6));
            bytes[i + 4] = (byte)(offsets[i] | ((offsets[i + 4] >> 4) << 6));
            bytes[i + 8] = (byte)((scales[i + 4] & 15) | ((offsets[i + 4] & 15) << 4));
        }
    }
}
