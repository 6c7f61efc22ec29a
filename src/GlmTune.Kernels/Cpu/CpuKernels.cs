using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cpu;

/// <summary>Plain operators, and for passes over a cache with few new tokens one loop for each function instead of
/// several operators: there, starting an operator takes longer than its work.</summary>
/// <remarks>For float32 and bfloat16, computed in float32. Anything else goes to <see cref="PlainKernels"/>.</remarks>
/// <param name="reason">Why no GPU is used, where one might be expected.</param>
/// <param name="threads">Threads of a product at most; null: as libtorch uses.</param>
internal sealed unsafe class CpuKernels(string? reason = null, int? threads = null) : PlainKernels(reason)
{
    // From here on libtorch's matrix products are faster.
    private const int MaxRows = 8;

    private readonly int threads = threads ?? get_num_threads();

    /// <summary>Whether the processor has what the loops need to be fast.</summary>
    public static bool IsSupported => Vector256.IsHardwareAccelerated;

    /// <inheritdoc/>
    public override (Tensor Output, Tensor InverseRms) RmsNorm(Tensor x, Tensor weight, double epsilon) =>
        Fits(x, weight)
            ? Norm(x, null, weight, epsilon) switch
            {
                var (_, y, inverse) => (y, inverse),
            }
            : base.RmsNorm(x, weight, epsilon);

    /// <inheritdoc/>
    public override (Tensor Sum, Tensor Output, Tensor InverseRms) AddRmsNorm(
        Tensor x,
        Tensor delta,
        Tensor weight,
        double epsilon
    ) => Fits(x, delta, weight) ? Norm(x, delta, weight, epsilon) : base.AddRmsNorm(x, delta, weight, epsilon);

    /// <inheritdoc/>
    public override Tensor Project(Tensor x, Tensor weight, Tensor? bias = null, Tensor? residual = null) =>
        FitsProduct(x, weight.shape[1], weight, bias, residual)
            ? Finished(x, Sums(x, weight), (int)weight.shape[0], null, bias, residual)
            : base.Project(x, weight, bias, residual);

    /// <inheritdoc/>
    public override Tensor ProjectSwiGlu(Tensor x, Tensor weight) =>
        FitsProduct(x, weight.shape[1], weight)
            ? Gated(x, Sums(x, weight), (int)weight.shape[0], null)
            : base.ProjectSwiGlu(x, weight);

    /// <inheritdoc/>
    public override Tensor Project(Tensor x, FrozenMatrix weight, Func<Tensor> dense, Tensor? bias = null) =>
        weight is Int8Matrix int8 && FitsProduct(x, weight.Columns, bias)
            ? Finished(x, Sums(x, int8.Values, int8: true), (int)weight.Rows, int8.Scales, bias, null)
            : base.Project(x, weight, dense, bias);

    /// <inheritdoc/>
    public override Tensor ProjectSwiGlu(Tensor x, FrozenMatrix weight, Func<Tensor> dense) =>
        weight is Int8Matrix int8 && FitsProduct(x, weight.Columns)
            ? Gated(x, Sums(x, int8.Values, int8: true), (int)weight.Rows, int8.Scales)
            : base.ProjectSwiGlu(x, weight, dense);

    /// <inheritdoc/>
    public override void RotateAndCache(
        Tensor fused,
        Tensor cosine,
        Tensor sine,
        HeadLayout heads,
        CachedBlocks cache,
        Tensor slots,
        Tensor positions
    )
    {
        if (
            !Fits(fused, cache.Keys, cache.Values)
            || !IsContiguous(ScalarType.Float32, cosine, sine)
            || !IsContiguous(ScalarType.Int64, slots, positions)
        )
        {
            base.RotateAndCache(fused, cosine, sine, heads, cache, slots, positions);
            return;
        }

        var row = Address(fused);
        var cos = (float*)Address(cosine);
        var sin = (float*)Address(sine);
        var slot = (long*)Address(slots);
        var position = (long*)Address(positions);
        var keys = Address(cache.Keys);
        var values = Address(cache.Values);
        var tables = (int*)Address(cache.Tables);
        var (size, angles) = (SizeOf(fused), heads.RotaryDim / 2);
        for (var i = 0; i < fused.shape[0]; i++)
        {
            var block = tables[(slot[i] * cache.Tables.shape[1]) + (position[i] / CachedBlocks.Tokens)];
            var at = (((long)block * CachedBlocks.Tokens) + (position[i] % CachedBlocks.Tokens)) * heads.KeyValueWidth;
            var one = row + (i * heads.FusedWidth * size);
            var k = keys + (at * size);
            var v = values + (at * size);
            if (fused.dtype == ScalarType.Float32)
            {
                CpuAttention.RotateAndCache<CpuFloat32>(one, cos + (i * angles), sin + (i * angles), heads, k, v);
            }
            else
            {
                CpuAttention.RotateAndCache<CpuBFloat16>(one, cos + (i * angles), sin + (i * angles), heads, k, v);
            }
        }
    }

    /// <inheritdoc/>
    public override Tensor CachedAttention(
        Tensor fused,
        HeadLayout heads,
        CachedBlocks cache,
        CachedSequences sequences
    )
    {
        if (
            sequences.Several is not null
            || !CpuAttention.Fits(heads)
            || !Fits(fused, cache.Keys, cache.Values)
            || !IsContiguous(ScalarType.Int64, sequences.Slots, sequences.Lengths)
        )
        {
            return base.CachedAttention(fused, heads, cache, sequences);
        }

        var result = empty([fused.shape[0], heads.QueryWidth], fused.dtype, CPU);
        var rows = Address(fused);
        var outputs = Address(result);
        var size = SizeOf(fused);
        var keys = Address(cache.Keys);
        var values = Address(cache.Values);
        var tables = (int*)Address(cache.Tables);
        var slots = (long*)Address(sequences.Slots);
        var lengths = (long*)Address(sequences.Lengths);
        for (var i = 0; i < fused.shape[0]; i++)
        {
            var table = tables + (slots[i] * cache.Tables.shape[1]);
            var query = rows + (i * heads.FusedWidth * size);
            var output = outputs + (i * heads.QueryWidth * size);
            if (fused.dtype == ScalarType.Float32)
            {
                CpuAttention.Single<CpuFloat32>(query, heads, keys, values, table, (int)lengths[i], output);
            }
            else
            {
                CpuAttention.Single<CpuBFloat16>(query, heads, keys, values, table, (int)lengths[i], output);
            }
        }

        return result;
    }

    private static (Tensor Sum, Tensor Output, Tensor InverseRms) Norm(
        Tensor x,
        Tensor? delta,
        Tensor weight,
        double epsilon
    )
    {
        var sum = delta is null ? x : empty(x.shape, x.dtype, CPU);
        var output = empty(x.shape, x.dtype, CPU);
        var inverse = empty([x.shape[0], 1], ScalarType.Float32, CPU);
        if (x.dtype == ScalarType.Float32)
        {
            NormRows<CpuFloat32>(x, delta, weight, epsilon, sum, output, inverse);
        }
        else
        {
            NormRows<CpuBFloat16>(x, delta, weight, epsilon, sum, output, inverse);
        }

        return (sum, output, inverse);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void NormRows<T>(
        Tensor x,
        Tensor? delta,
        Tensor weight,
        double epsilon,
        Tensor sum,
        Tensor output,
        Tensor inverse
    )
        where T : struct, ICpuNumbers
    {
        var (rows, width) = ((int)x.shape[0], (int)x.shape[1]);
        var input = Address(x);
        var added = delta is null ? null : Address(delta);
        var scale = Address(weight);
        var sums = Address(sum);
        var results = Address(output);
        var inverses = (float*)Address(inverse);
        for (var row = 0; row < rows; row++)
        {
            var first = (long)row * width;
            var squares = 0.0;
            for (var i = first; i < first + width; i++)
            {
                var value = T.Read(input, i);
                if (added is not null)
                {
                    value = T.Round(value + T.Read(added, i));
                    T.Write(sums, i, value);
                }

                squares += value * value;
            }

            var factor = (float)(1 / Math.Sqrt((squares / width) + epsilon));
            inverses[row] = factor;
            for (var i = 0; i < width; i++)
            {
                T.Write(results, first + i, T.Read(sums, first + i) * factor * T.Read(scale, i));
            }
        }
    }

    // x · Wᵀ, float32 [rows · outputs].
    private float[] Sums(Tensor x, Tensor weight, bool int8 = false)
    {
        var (rows, columns, outputs) = ((int)x.shape[0], (int)weight.shape[1], (int)weight.shape[0]);
        var sums = new float[rows * outputs];
        var input = Address(x);
        var matrix = (nint)Address(weight);
        float[] wide = [];
        if (x.dtype == ScalarType.BFloat16)
        {
            wide = new float[rows * columns];
            for (var i = 0; i < wide.Length; i++)
            {
                wide[i] = CpuBFloat16.Read(input, i);
            }
        }

        fixed (float* widened = wide)
        fixed (float* result = sums)
        {
            var values = widened is null ? (float*)input : widened;
            if (int8)
            {
                CpuProducts.Multiply<CpuInt8>(values, rows, matrix, columns, outputs, result, threads);
            }
            else if (x.dtype == ScalarType.Float32)
            {
                CpuProducts.Multiply<CpuFloat32>(values, rows, matrix, columns, outputs, result, threads);
            }
            else
            {
                CpuProducts.Multiply<CpuBFloat16>(values, rows, matrix, columns, outputs, result, threads);
            }
        }

        return sums;
    }

    private static Tensor Finished(Tensor x, float[] sums, int outputs, Tensor? scales, Tensor? bias, Tensor? residual)
    {
        var y = empty([x.shape[0], outputs], x.dtype, CPU);
        if (x.dtype == ScalarType.Float32)
        {
            Finish<CpuFloat32>(sums, outputs, scales, bias, residual, y);
        }
        else
        {
            Finish<CpuBFloat16>(sums, outputs, scales, bias, residual, y);
        }

        return y;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Finish<T>(float[] sums, int outputs, Tensor? scales, Tensor? bias, Tensor? residual, Tensor y)
        where T : struct, ICpuNumbers
    {
        var factor = scales is null ? null : (float*)Address(scales);
        var added = bias is null ? null : Address(bias);
        var more = residual is null ? null : Address(residual);
        var result = Address(y);
        for (var i = 0; i < sums.Length; i++)
        {
            var output = i % outputs;
            var sum = factor is null ? sums[i] : sums[i] * factor[output];
            sum = added is null ? sum : sum + T.Read(added, output);
            T.Write(result, i, more is null ? sum : T.Round(sum) + T.Read(more, i));
        }
    }

    private static Tensor Gated(Tensor x, float[] sums, int outputs, Tensor? scales)
    {
        var y = empty([x.shape[0], outputs / 2], x.dtype, CPU);
        if (x.dtype == ScalarType.Float32)
        {
            Gate<CpuFloat32>(sums, outputs / 2, scales, y);
        }
        else
        {
            Gate<CpuBFloat16>(sums, outputs / 2, scales, y);
        }

        return y;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Gate<T>(float[] sums, int half, Tensor? scales, Tensor y)
        where T : struct, ICpuNumbers
    {
        var factor = scales is null ? null : (float*)Address(scales);
        var result = Address(y);
        for (var row = 0; row < sums.Length / (2 * half); row++)
        {
            for (var i = 0; i < half; i++)
            {
                var (gate, up) = (sums[(2 * row * half) + i], sums[(((2 * row) + 1) * half) + i]);
                gate = T.Round(factor is null ? gate : gate * factor[i]);
                up = T.Round(factor is null ? up : up * factor[half + i]);
                T.Write(result, ((long)row * half) + i, gate / (1 + MathF.Exp(-gate)) * up);
            }
        }
    }

    private static bool FitsProduct(Tensor x, long columns, params ReadOnlySpan<Tensor?> others) =>
        columns % CpuProducts.Step == 0 && Fits(x, others);

    // Few rows of a type that the loops know; all others contiguous and of the same type.
    private static bool Fits(Tensor x, params ReadOnlySpan<Tensor?> others)
    {
        if (
            x.dtype is not (ScalarType.Float32 or ScalarType.BFloat16)
            || x.dim() != 2
            || x.shape[0] is 0 or > MaxRows
            || !x.is_contiguous()
        )
        {
            return false;
        }

        foreach (var other in others)
        {
            if (other is not null && (other.dtype != x.dtype || !other.is_contiguous()))
            {
                return false;
            }
        }

        return true;
    }

    private static bool IsContiguous(ScalarType type, Tensor a, Tensor b) =>
        a.dtype == type && b.dtype == type && a.is_contiguous() && b.is_contiguous();

    private static byte* Address(Tensor tensor) => (byte*)TensorAddress.Of(tensor);

    private static int SizeOf(Tensor tensor) => tensor.dtype == ScalarType.Float32 ? 4 : 2;
}
