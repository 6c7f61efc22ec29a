using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace GlmTune.Kernels.Cpu;

/// <summary>Products of a few rows with a weight: a thread takes some of the weight's rows, four at a time, so that
/// each is read from memory once.</summary>
internal static unsafe class CpuProducts
{
    /// <summary>Numbers that are computed at a time: rows must be multiples of it.</summary>
    public const int Step = 16;

    // Enough work for a thread to be worth waking, in weights.
    private const long WeightsPerThread = 1 << 17;
    private const int RowsAtOnce = 4;
    private const int CacheLine = 64;

    /// <summary>sums = x · Wᵀ.</summary>
    /// <param name="x">float32 [rows, columns].</param>
    /// <param name="rows">Number of rows of x.</param>
    /// <param name="weight">Address of W [outputs, columns].</param>
    /// <param name="columns">A multiple of <see cref="Step"/>.</param>
    /// <param name="outputs">Number of rows of W.</param>
    /// <param name="sums">Receives the result, float32 [rows, outputs].</param>
    /// <param name="threads">Threads to use at most.</param>
    public static void Multiply<TWeight>(
        float* x,
        int rows,
        nint weight,
        int columns,
        int outputs,
        float* sums,
        int threads
    )
        where TWeight : struct, ICpuFormat
    {
        var parts = (int)Math.Clamp((long)outputs * columns / WeightsPerThread, 1, threads);
        if (parts == 1)
        {
            Part<TWeight>(x, rows, (void*)weight, columns, outputs, sums, 0, outputs);
            return;
        }

        var (input, result) = ((nint)x, (nint)sums);
        var each = ((outputs / parts / RowsAtOnce) + 1) * RowsAtOnce;
        Parallel.For(
            0,
            parts,
            part =>
                Part<TWeight>(
                    (float*)input,
                    rows,
                    (void*)weight,
                    columns,
                    outputs,
                    (float*)result,
                    Math.Min(part * each, outputs),
                    part == parts - 1 ? outputs : Math.Min((part + 1) * each, outputs)
                )
        );
    }

    private static void Part<TWeight>(
        float* x,
        int rows,
        void* weight,
        int columns,
        int outputs,
        float* sums,
        int from,
        int to
    )
        where TWeight : struct, ICpuFormat
    {
        var output = from;
        for (; output + RowsAtOnce <= to; output += RowsAtOnce)
        {
            for (var row = 0; row < rows; row++)
            {
                Four<TWeight>(
                    x + ((long)row * columns),
                    weight,
                    (long)output * columns,
                    columns,
                    sums + ((long)row * outputs) + output
                );
            }
        }

        for (; output < to; output++)
        {
            for (var row = 0; row < rows; row++)
            {
                sums[((long)row * outputs) + output] = Dot<TWeight>(
                    x + ((long)row * columns),
                    weight,
                    (long)output * columns,
                    columns
                );
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Four<TWeight>(float* x, void* weight, long first, int columns, float* sums)
        where TWeight : struct, ICpuFormat
    {
        var (second, third, fourth) = (first + columns, first + (2L * columns), first + (3L * columns));
        Vector256<float> a = default,
            b = default,
            c = default,
            d = default,
            e = default,
            f = default,
            g = default,
            h = default;
        for (var i = 0; i < columns; i += Step)
        {
            Prefetch<TWeight>(weight, first + (4L * (columns + i)));
            var (low, high) = (Vector256.Load(x + i), Vector256.Load(x + i + 8));
            a = Vector256.FusedMultiplyAdd(TWeight.Load(weight, first + i), low, a);
            b = Vector256.FusedMultiplyAdd(TWeight.Load(weight, first + i + 8), high, b);
            c = Vector256.FusedMultiplyAdd(TWeight.Load(weight, second + i), low, c);
            d = Vector256.FusedMultiplyAdd(TWeight.Load(weight, second + i + 8), high, d);
            e = Vector256.FusedMultiplyAdd(TWeight.Load(weight, third + i), low, e);
            f = Vector256.FusedMultiplyAdd(TWeight.Load(weight, third + i + 8), high, f);
            g = Vector256.FusedMultiplyAdd(TWeight.Load(weight, fourth + i), low, g);
            h = Vector256.FusedMultiplyAdd(TWeight.Load(weight, fourth + i + 8), high, h);
        }

        sums[0] = Vector256.Sum(a + b);
        sums[1] = Vector256.Sum(c + d);
        sums[2] = Vector256.Sum(e + f);
        sums[3] = Vector256.Sum(g + h);
    }

    // What the next four rows need, as much as a step of these takes. An address beyond the weight does no harm.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch<TWeight>(void* weight, long index)
        where TWeight : struct, ICpuFormat
    {
        if (Sse.IsSupported)
        {
            var at = (byte*)weight + (index * TWeight.Size);
            for (var line = 0; line < TWeight.Size; line++)
            {
                Sse.Prefetch0(at + (CacheLine * line));
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Dot<TWeight>(float* x, void* weight, long first, int columns)
        where TWeight : struct, ICpuFormat
    {
        Vector256<float> a = default,
            b = default;
        for (var i = 0; i < columns; i += Step)
        {
            a = Vector256.FusedMultiplyAdd(TWeight.Load(weight, first + i), Vector256.Load(x + i), a);
            b = Vector256.FusedMultiplyAdd(TWeight.Load(weight, first + i + 8), Vector256.Load(x + i + 8), b);
        }

        return Vector256.Sum(a + b);
    }
}
