using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Native;
using GlmTune.Kernels.Tests.Emulation;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>The CUDA kernels against their definition: on the CPU through the emulator, and on a GPU where there is one.</summary>
public class CudaKernelsTests
{
    public CudaKernelsTests() => NativeRuntime.Load();

    public static TheoryData<string, ScalarType> Cases
    {
        get
        {
            var cases = new TheoryData<string, ScalarType>();
            foreach (var name in KernelTwins.All.Keys)
            {
                foreach (var type in (ScalarType[])[ScalarType.BFloat16, ScalarType.Float16, ScalarType.Float32])
                {
                    cases.Add(name, type);
                }
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Emulated_kernels_agree_with_plain_operators_in_float64(string name, ScalarType type)
    {
        Assert.SkipWhen(EmulatedLauncher.Compiler is null, "There is no C++ compiler to build the kernels for the CPU with.");
        using var check = new TwinCheck(new CudaKernels(new EmulatedLauncher(), "emulated"), type, CPU);
        KernelTwins.All[name](check, KernelTwins.Sizes.Small);
        Assert.All(check.Results, result => Assert.True(result.Passed, result.ToString()));
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Kernels_on_a_GPU_agree_with_plain_operators_in_float64(string name, ScalarType type)
    {
        var device = NativeRuntime.DefaultDevice();
        Assert.SkipUnless(device.type == DeviceType.CUDA, "There is no GPU.");
        var kernels = CudaKernels.TryCreate(device, out var reason);
        Assert.SkipWhen(kernels is null, reason);
        using var check = new TwinCheck(kernels, type, device);
        KernelTwins.All[name](check, KernelTwins.Sizes.Glm4);
        Assert.All(check.Results, result => Assert.True(result.Passed, result.ToString()));
    }
}
