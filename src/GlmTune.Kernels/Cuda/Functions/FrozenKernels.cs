using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Frozen weights in few bits: dequantizing them, and products of few rows that read the bits.</summary>
/// <remarks>As the functions of <see cref="LayerKernels"/>; false or null: the kernel cannot be taken.</remarks>
internal sealed class FrozenKernels(IKernelLauncher launcher, KernelFallbacks fallbacks)
{
    // dequantize.cu: elements of a warp.
    private const int WarpElements = 1024;

    // project_quantized.cu: weight rows per tile, threads and blocks per multiprocessor, and names of the formats.
    private const int TileRows = 8;
    private const int ProjectThreads = 128;
    private const int BlocksPerMultiprocessor = 6;
    private const int Nf4 = 4;
    private const int Int8 = 8;
    private const int Fp8 = 9;

    private const string Blocks = "a weight of whole blocks";

    public bool Dequantize(FrozenMatrix weight, Tensor target)
    {
        var type = KernelTensor.TypeOf(target);
        var guard = KernelGuard.For("dequantize").NeedsVectors(type, target);
        switch (weight)
        {
            case Nf4Matrix nf4 when !fallbacks.Refuse(guard.Needs(Elements(nf4) % Nf4Matrix.BlockSize == 0, Blocks)):
                var count = Elements(nf4);
                launcher.Launch(
                    new("dequantize", "dequantize_nf4", type),
                    Grid.Covering(count, Threads.PerBlock / 32 * WarpElements),
                    Threads.PerBlock,
                    nf4.Codes,
                    nf4.ScaleCodes,
                    nf4.ScaleMap,
                    nf4.GroupScales,
                    nf4.Mean,
                    target,
                    count
                );
                return true;
            case Int8Matrix int8:
                return DequantizeRows("dequantize_int8", int8.Values, int8.Scales, target, guard);
            case Fp8Matrix fp8:
                return DequantizeRows("dequantize_fp8", fp8.Values, fp8.OutputScales, target, guard);
            default:
                return false;
        }
    }

    private bool DequantizeRows(string kernel, Tensor values, Tensor scales, Tensor target, KernelGuard guard)
    {
        var (rows, width) = (KernelTensor.Size(values, 0), KernelTensor.Size(values, 1));
        if (fallbacks.Refuse(guard.Needs(width % 8 == 0, "rows of whole words")))
        {
            return false;
        }

        launcher.Launch(
            new("dequantize", kernel, KernelTensor.TypeOf(target)),
            new(rows),
            Threads.For(width / 8, Threads.PerBlock),
            values,
            scales,
            target,
            width
        );
        return true;
    }

    public Tensor? Project(Tensor x, FrozenMatrix weight, Tensor? bias)
    {
        if (!FewRows(x) || !HasKernel(weight) || fallbacks.Refuse(Guard("project_quantized", x, weight, bias)))
        {
            return null;
        }

        var (rows, outputs) = (KernelTensor.Size(x, 0), (int)weight.Rows);
        var y = KernelTensor.Empty(KernelTensor.TypeOf(x), x.device, rows, outputs);
        var (format, bits, scaleCodes, map, scales, mean) = Parts(weight);
        launcher.Launch(
            Kernel("project", x, format),
            TileGrid((outputs + TileRows - 1) / TileRows),
            ProjectThreads,
            x,
            bits,
            scaleCodes,
            map,
            scales,
            mean,
            bias,
            default(KernelArgument),
            y,
            rows,
            (int)weight.Columns,
            outputs
        );
        return y;
    }

    public Tensor? ProjectSwiGlu(Tensor x, FrozenMatrix weight)
    {
        if (!FewRows(x) || !HasKernel(weight) || fallbacks.Refuse(Guard("project_swiglu_quantized", x, weight)))
        {
            return null;
        }

        var (rows, half) = (KernelTensor.Size(x, 0), (int)weight.Rows / 2);
        var y = KernelTensor.Empty(KernelTensor.TypeOf(x), x.device, rows, half);
        var (format, bits, scaleCodes, map, scales, mean) = Parts(weight);
        launcher.Launch(
            Kernel("project_swiglu", x, format),
            TileGrid((half + (TileRows / 2) - 1) / (TileRows / 2)),
            ProjectThreads,
            x,
            bits,
            scaleCodes,
            map,
            scales,
            mean,
            y,
            rows,
            (int)weight.Columns,
            half
        );
        return y;
    }

    private static bool HasKernel(FrozenMatrix weight) => weight is Nf4Matrix or Int8Matrix or Fp8Matrix;

    private static long Elements(FrozenMatrix weight) => weight.Rows * weight.Columns;

    private static (int Format, Tensor Bits, Tensor? ScaleCodes, Tensor? Map, Tensor Scales, Tensor? Mean) Parts(
        FrozenMatrix weight
    ) =>
        weight switch
        {
            Nf4Matrix nf4 => (Nf4, nf4.Codes, nf4.ScaleCodes, nf4.ScaleMap, nf4.GroupScales, nf4.Mean),
            Int8Matrix int8 => (Int8, int8.Values, null, null, int8.Scales, null),
            Fp8Matrix fp8 => (Fp8, fp8.Values, null, null, fp8.OutputScales, null),
            _ => throw new ArgumentException($"{weight.GetType().Name} has no kernel.", nameof(weight)),
        };

    private static KernelName Kernel(string function, Tensor x, int format) =>
        new("project_quantized", function, KernelTensor.TypeOf(x), "WEIGHT", format);

    // More rows go to the library by choice.
    private static bool FewRows(Tensor x) => KernelTensor.Size(x, 0) is > 0 and <= DecodeKernels.MaxRows;

    private static KernelGuard Guard(string kernel, Tensor x, FrozenMatrix weight, Tensor? bias = null)
    {
        var type = KernelTensor.TypeOf(x);
        return KernelGuard
            .For(kernel)
            .Needs(type is ScalarType.BFloat16 or ScalarType.Float16, "inputs in bfloat16 or float16")
            .NeedsVectors(type, x, bias)
            .Needs(
                weight.Columns % (weight is Nf4Matrix ? Nf4Matrix.BlockSize : 16) == 0,
                weight is Nf4Matrix ? "rows of whole blocks" : "rows that are a multiple of 16 bytes"
            );
    }

    // As many blocks as run at once: they iterate over the tiles.
    private Grid TileGrid(int tiles) => new(Math.Min(tiles, BlocksPerMultiprocessor * launcher.Multiprocessors));
}
