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
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(40)]
    public void A_long_cache_is_attended_to_in_parts_that_are_joined(int multiprocessors)
    {
        Assert.SkipWhen(
            EmulatedLauncher.Compiler is null,
            "There is no C++ compiler to build the kernels for the CPU with."
        );
        var heads = new HeadLayout(40, 2, 64, 32); // 20 heads a group: two tiles, the second not full
        var kernels = new CudaKernels(new EmulatedLauncher(multiprocessors), "emulated");
        using var check = new TwinCheck(kernels, ScalarType.BFloat16, CPU);
        using var sequences = SequenceLayout.OfRows(2, 1, CPU);
        var (fused, keys, values) = (
            check.Random(2, heads.FusedWidth),
            check.Random(3, 700, 2, 64),
            check.Random(3, 700, 2, 64)
        );
        var (slots, lengths) = (tensor(new[] { 2L, 0L }), tensor(new[] { 700L, 3L }));
        var expected = check.Reference.CachedAttention(
            TwinCheck.Wide(fused),
            heads,
            sequences,
            TwinCheck.Wide(keys),
            TwinCheck.Wide(values),
            slots,
            lengths,
            700
        );
        for (var repeat = 0; repeat < 2; repeat++)
        {
            check.Compare(
                "output",
                expected,
                kernels.CachedAttention(fused, heads, sequences, keys, values, slots, lengths, 700),
                3
            );
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
