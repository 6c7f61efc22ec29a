using GlmTune.Kernels.Cuda;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Kernels.Tests.Emulation;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>The CUDA kernels against their definition: on the CPU through the emulator, and on a GPU where there is
/// one.</summary>
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
        Assert.SkipWhen(
            EmulatedLauncher.Compiler is null,
            "There is no C++ compiler to build the kernels for the CPU with."
        );
        using var check = new TwinCheck(
            new CudaKernels(new EmulatedLauncher(), "emulated", multipliesFp8: true),
            type,
            CPU
        );
        KernelTwins.All[name](check, KernelTwins.Sizes.Small);
        Assert.All(check.Results, result => Assert.True(result.Passed, result.ToString()));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(6, false)]
    [InlineData(40, false)]
    [InlineData(1, true)]
    public void A_long_cache_is_attended_to_in_parts_that_are_joined(int multiprocessors, bool uneven)
    {
        Assert.SkipWhen(
            EmulatedLauncher.Compiler is null,
            "There is no C++ compiler to build the kernels for the CPU with."
        );
        var heads = new HeadLayout(40, 2, 64, 32); // 20 heads a group: two tiles, the second not full
        var kernels = new CudaKernels(new EmulatedLauncher(multiprocessors), "emulated");
        using var check = new TwinCheck(kernels, ScalarType.BFloat16, CPU);
        var (fused, cache) = (check.Random(2, heads.FusedWidth), check.RandomBlocks(slots: 3, 700, heads));
        using var sequences = new CachedSequences(
            tensor(new[] { 2L, 0L }),
            tensor(new[] { 700L, 3L }),
            longest: 700,
            uneven
        );
        var expected = check.Reference.CachedAttention(TwinCheck.Wide(fused), heads, TwinCheck.Wide(cache), sequences);
        for (var repeat = 0; repeat < 2; repeat++)
        {
            check.Compare("output", expected, kernels.CachedAttention(fused, heads, cache, sequences), 3);
        }

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
