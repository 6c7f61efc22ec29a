using System.Runtime.Intrinsics;

namespace GlmTune.Weights.Gguf.Blocks;

/// <summary>Eight values at a time of a group of values.</summary>
internal static class Lanes
{
    /// <summary>Number of values at a time.</summary>
    public const int Count = 8;

    /// <summary>The values from an index on.</summary>
    public static Vector256<float> At(ReadOnlySpan<float> values, int index) =>
        Vector256.Create(values.Slice(index, Count));

    /// <summary>x · factor, rounded to an integer and limited to a range.</summary>
    public static Vector256<float> Rounded(Vector256<float> x, float factor, float lowest, float highest) =>
        Vector256.Min(
            Vector256.Max(Vector256.Round(x * Vector256.Create(factor)), Vector256.Create(lowest)),
            Vector256.Create(highest)
        );
}
