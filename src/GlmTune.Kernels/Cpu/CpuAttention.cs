using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GlmTune.Kernels.Definitions;

namespace GlmTune.Kernels.Cpu;

/// <summary>Rotation and attention of single new tokens over a cache, in float32.</summary>
internal static unsafe class CpuAttention
{
    private const int Step = 8;

    /// <summary>Whether heads can be computed: their features are whole steps.</summary>
    public static bool Fits(HeadLayout heads) => heads.HeadDim % Step == 0;

    /// <summary>Rotates the queries and keys of a row, and copies its keys and values to the cache.</summary>
    /// <param name="row">The row [(H + 2K)·D]; rotated in place.</param>
    /// <param name="cosine">[rotaryDim / 2].</param>
    /// <param name="sine">As <paramref name="cosine"/>.</param>
    /// <param name="heads">How the row is divided into heads.</param>
    /// <param name="keys">Where its keys are cached, [K·D].</param>
    /// <param name="values">Where its values are cached, [K·D].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void RotateAndCache<T>(
        void* row,
        float* cosine,
        float* sine,
        HeadLayout heads,
        void* keys,
        void* values
    )
        where T : struct, ICpuNumbers
    {
        for (var head = 0; head < heads.QueryHeads + heads.KeyValueHeads; head++)
        {
            var first = head * heads.HeadDim;
            for (var pair = 0; pair < heads.RotaryDim / 2; pair++)
            {
                var at = first + (2 * pair);
                var (even, odd) = (T.Read(row, at), T.Read(row, at + 1));
                T.Write(row, at, (even * cosine[pair]) - (odd * sine[pair]));
                T.Write(row, at + 1, (odd * cosine[pair]) + (even * sine[pair]));
            }
        }

        for (var i = 0; i < heads.KeyValueWidth; i++)
        {
            T.Write(keys, i, T.Read(row, heads.QueryWidth + i));
            T.Write(values, i, T.Read(row, heads.QueryWidth + heads.KeyValueWidth + i));
        }
    }

    /// <summary>Attention of one token.</summary>
    /// <param name="query">Its rotated queries [H·D].</param>
    /// <param name="heads">The heads.</param>
    /// <param name="keys">All blocks of cached keys, [blocks, 16, K, D].</param>
    /// <param name="values">As <paramref name="keys"/>.</param>
    /// <param name="table">Numbers of the sequence's blocks.</param>
    /// <param name="length">Cached tokens of the sequence, this one included.</param>
    /// <param name="output">Receives the result [H·D].</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Single<T>(
        void* query,
        HeadLayout heads,
        void* keys,
        void* values,
        int* table,
        int length,
        void* output
    )
        where T : struct, ICpuNumbers
    {
        var (group, width) = (heads.GroupSize, heads.HeadDim);
        var scores = new float[group * length];
        var sums = new float[group * width];
        var scale = (float)(1 / Math.Sqrt(width));
        fixed (float* score = scores)
        fixed (float* sum = sums)
        {
            for (var shared = 0; shared < heads.KeyValueHeads; shared++)
            {
                var first = (long)shared * group * width;
                for (var token = 0; token < length; token++)
                {
                    var key = RowOf(table, token, heads, shared);
                    for (var head = 0; head < group; head++)
                    {
                        score[(head * length) + token] =
                            scale * Dot<T>(query, first + (head * width), keys, key, width);
                    }
                }

                sums.AsSpan().Clear();
                for (var head = 0; head < group; head++)
                {
                    Softmax(scores.AsSpan(head * length, length));
                }

                for (var token = 0; token < length; token++)
                {
                    var value = RowOf(table, token, heads, shared);
                    for (var head = 0; head < group; head++)
                    {
                        Add<T>(score[(head * length) + token], values, value, sum + (head * width), width);
                    }
                }

                for (var i = 0; i < group * width; i++)
                {
                    T.Write(output, first + i, sum[i]);
                }
            }
        }
    }

    private static long RowOf(int* table, int token, HeadLayout heads, int shared) =>
        (
            (
                (((long)table[token / CachedBlocks.Tokens] * CachedBlocks.Tokens) + (token % CachedBlocks.Tokens))
                * heads.KeyValueHeads
            ) + shared
        ) * heads.HeadDim;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot<T>(void* a, long firstA, void* b, long firstB, int width)
        where T : struct, ICpuNumbers
    {
        Vector256<float> sum = default;
        for (var i = 0; i < width; i += Step)
        {
            sum = Vector256.FusedMultiplyAdd(T.Load(a, firstA + i), T.Load(b, firstB + i), sum);
        }

        return Vector256.Sum(sum);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Add<T>(float factor, void* values, long first, float* sums, int width)
        where T : struct, ICpuNumbers
    {
        var factors = Vector256.Create(factor);
        for (var i = 0; i < width; i += Step)
        {
            Vector256.FusedMultiplyAdd(T.Load(values, first + i), factors, Vector256.Load(sums + i)).Store(sums + i);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Softmax(Span<float> scores)
    {
        var largest = float.NegativeInfinity;
        foreach (var score in scores)
        {
            largest = Math.Max(largest, score); // NaN if any is
        }

        var sum = 0f;
        foreach (ref var score in scores)
        {
            score = MathF.Exp(score - largest);
            sum += score;
        }

        foreach (ref var score in scores)
        {
            score /= sum;
        }
    }
}
