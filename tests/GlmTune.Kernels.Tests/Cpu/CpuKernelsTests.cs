using GlmTune.Kernels.Cpu;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Cpu;

public sealed class CpuKernelsTests
{
    static CpuKernelsTests() => NativeRuntime.Load();

    public static MatrixTheoryData<string, ScalarType> Cases =>
        new(
            [
                "rms norm",
                "rotary into a cache",
                "cached attention, decode",
                "cached attention, decode of uneven rows",
                "cached attention, decode and prefill",
                "project",
                "project nf4",
                "project int8",
            ],
            [ScalarType.Float32, ScalarType.BFloat16]
        );

    [Theory]
    [MemberData(nameof(Cases))]
    public void Loops_agree_with_plain_operators_in_float64(string name, ScalarType type)
    {
        Assert.SkipUnless(CpuKernels.IsSupported, "This processor has no vectors of 256 bits.");
        using var check = new TwinCheck(new CpuKernels(), type, CPU);
        KernelTwins.All[name](check, KernelTwins.Sizes.Small);
        Assert.All(check.Results, result => Assert.True(result.Passed, result.ToString()));
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Outputs_that_are_not_whole_tiles_are_computed_by_any_number_of_threads(ScalarType type)
    {
        const int Outputs = 1027;
        using var check = new TwinCheck(new CpuKernels(), type, CPU);
        var (x, weight) = (check.Random(3, 512), check.Random(Outputs, 512).Multiply(0.05));
        var (residual, bias) = (check.Random(3, Outputs), check.Random(Outputs));
        var expected = check.Reference.Project(
            TwinCheck.Wide(x),
            TwinCheck.Wide(weight),
            TwinCheck.Wide(bias),
            TwinCheck.Wide(residual)
        );
        foreach (var threads in (int[])[1, 2, 3, 7])
        {
            var y = new CpuKernels(threads: threads).Project(x, weight, bias, residual);
            check.Compare($"{threads} threads", expected, y, 3);
        }

        Assert.All(check.Results, result => Assert.True(result.Passed, result.ToString()));
    }

    [Fact]
    public void A_score_that_is_not_a_number_shows_in_the_result()
    {
        var heads = new HeadLayout(2, 1, 32, 16);
        using var check = new TwinCheck(new CpuKernels(), ScalarType.Float32, CPU);
        var (fused, cache) = (check.Random(1, heads.FusedWidth), check.RandomBlocks(slots: 1, 40, heads));
        cache.Keys.FillInPlace(float.NaN);
        using var sequences = new CachedSequences(tensor(new[] { 0L }), tensor(new[] { 40L }), longest: 40);
        Assert.True(check.Kernels.CachedAttention(fused, heads, cache, sequences).isnan().all().item<bool>());
    }
}
