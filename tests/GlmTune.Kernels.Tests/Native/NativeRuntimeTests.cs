using GlmTune.Kernels.Native;
using TorchSharp;

namespace GlmTune.Kernels.Tests;

public class NativeRuntimeTests
{
    [Fact]
    public void Libtorch_loads_and_computes()
    {
        var runtime = NativeRuntime.Load();
        using var ones = torch.ones(2, 3);
        using var sum = ones.sum();
        Assert.Equal(6f, sum.item<float>());
        Assert.True(Directory.Exists(runtime.Folder));
        Assert.Same(runtime, NativeRuntime.Load());
    }
}
