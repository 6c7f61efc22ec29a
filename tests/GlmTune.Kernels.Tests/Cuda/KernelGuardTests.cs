using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Kernels.Tests.Emulation;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Inputs that a kernel is not made for go to plain operators, and the set of kernels says which and
/// why.</summary>
public class KernelGuardTests
{
    public KernelGuardTests() => NativeRuntime.Load();

    public static TheoryData<string, string> Refusals =>
        new()
        {
            { "type", "rms_norm needs inputs in bfloat16, float16 or float32" },
            { "mixed", "rms_norm needs inputs of one type" },
            { "strided", "rms_norm needs contiguous inputs" },
            { "shifted", "rms_norm needs inputs that start at a multiple of 16 bytes" },
            { "odd", "rms_norm needs rows that are a multiple of 16 bytes" },
            { "wide", "rms_norm needs rows of at most 2,048 pieces of 16 bytes" },
        };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void The_first_condition_that_does_not_hold_is_named(string which, string reason)
    {
        using var scope = NewDisposeScope();
        var kernels = new CudaKernels(new NoLauncher(), "none");
        var width =
            which == "odd" ? 6
            : which == "wide" ? 4 * 2049
            : 8;
        var type = which == "type" ? ScalarType.Float64 : ScalarType.Float32;
        var x = randn(which == "shifted" ? [3 * width + 1] : [3, which == "strided" ? 2 * width : width], type);
        x = which switch
        {
            "shifted" => x.narrow(0, 1, 3 * width).view(3, width),
            "strided" => x.narrow(1, 0, width),
            _ => x,
        };
        var weight = randn([width], which == "mixed" ? ScalarType.BFloat16 : type);
        var (output, inverse) = kernels.RmsNorm(x, weight, 1e-5);
        var (expected, expectedInverse) = new PlainKernels().RmsNorm(x, weight, 1e-5);
        Assert.True(output.Equals(expected) && inverse.Equals(expectedInverse));
        Assert.Equal([reason], kernels.Fallbacks);
    }

    [Fact]
    public void A_reason_is_listed_once()
    {
        using var scope = NewDisposeScope();
        var kernels = new CudaKernels(new NoLauncher(), "none");
        var x = randn(2, 16, ScalarType.Float64);
        kernels.SwiGlu(x);
        kernels.SwiGlu(x);
        kernels.Dropout(x, 0.5, new MaskSeed(1));
        Assert.Equal(
            [
                "dropout needs inputs in bfloat16, float16 or float32",
                "swiglu needs inputs in bfloat16, float16 or float32",
            ],
            kernels.Fallbacks
        );
    }

    [Fact]
    public void Plain_operators_have_nothing_to_fall_back_from() => Assert.Empty(new PlainKernels().Fallbacks);

    [Fact]
    public void Kernels_that_ran_are_not_listed()
    {
        Assert.SkipWhen(
            EmulatedLauncher.Compiler is null,
            "There is no C++ compiler to build the kernels for the CPU with."
        );
        using var scope = NewDisposeScope();
        var kernels = new CudaKernels(new EmulatedLauncher(), "emulated", multipliesFp8: true);
        var (x, weight) = (randn(3, 32), randn(32));
        kernels.RmsNorm(x, weight, 1e-5);
        kernels.SwiGlu(x);
        kernels.QuantizeRows(x);
        Assert.Empty(kernels.Fallbacks);
    }

    [Theory]
    [InlineData(ScalarType.BFloat16, 128, true, true)]
    [InlineData(ScalarType.Float16, 64, true, true)]
    [InlineData(ScalarType.Float32, 128, false, false)]
    [InlineData(ScalarType.BFloat16, 96, true, false)]
    [InlineData(ScalarType.BFloat16, 12, false, false)]
    [InlineData(ScalarType.BFloat16, 264, false, false)]
    public void Passes_can_be_captured_where_kernels_take_the_heads(
        ScalarType type,
        int headDim,
        bool training,
        bool decoding
    )
    {
        var heads = new HeadLayout(4, 2, headDim, headDim / 2);
        LayerKernels kernels = new CudaKernels(new NoLauncher(), "none");
        Assert.Equal(
            (training, decoding),
            (kernels.CanCapture(type, heads), kernels.CanCaptureDecoding(type, heads, 64, 128))
        );
        Assert.False(kernels.CanCaptureDecoding(type, heads, 64, 100));
        Assert.False(new PlainKernels().CanCapture(type, heads));
        Assert.False(new PlainKernels().CanCaptureDecoding(type, heads, 64, 128));
    }

    private sealed class NoLauncher : IKernelLauncher
    {
        public int Multiprocessors => 1;

        public void Launch(KernelName kernel, Grid grid, int threads, params ReadOnlySpan<KernelArgument> arguments) =>
            Assert.Fail($"{kernel.Function} was launched.");
    }
}
