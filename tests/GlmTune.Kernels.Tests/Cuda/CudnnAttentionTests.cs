using System.Runtime.InteropServices;
using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

public class CudnnAttentionTests
{
    [Fact]
    public void The_script_compiles_and_reaches_the_operator()
    {
        NativeRuntime.Load();
        using var scope = NewDisposeScope();
        using var sequences = SequenceLayout.OfRows(1, 128, CPU);
        var heads = new HeadLayout(4, 2, 64, 32);
        var error = Assert.Throws<ExternalException>(() =>
            CudnnAttention.Forward(randn(128, heads.FusedWidth, ScalarType.BFloat16), heads, sequences, null)
        );
        Assert.Contains("'CPU' backend", error.Message, StringComparison.Ordinal);
    }
}
