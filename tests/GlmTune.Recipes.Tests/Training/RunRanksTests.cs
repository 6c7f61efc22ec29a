using GlmTune.Collectives;
using GlmTune.Recipes.Training;
using TorchSharp;

namespace GlmTune.Recipes.Tests;

public class RunRanksTests
{
    [Fact]
    public void What_rank_0_finds_holds_on_every_rank()
    {
        var found = InProcess.Run(
            3,
            each =>
            {
                var ranks = new RunRanks(each);
                return (ranks.FirstFinds(() => ranks.IsFirst), ranks.FirstFinds(() => !ranks.IsFirst));
            }
        );
        Assert.All(found, answers => Assert.Equal((true, false), answers));
    }

    [Fact]
    public void A_rank_that_fails_alone_on_a_GPU_frees_nothing_that_waits_for_the_others()
    {
        var own = new InvalidOperationException("out of memory");
        Assert.True(RunSetup.MayFree(own, ranks: 1, DeviceType.CUDA));
        Assert.True(RunSetup.MayFree(own, ranks: 2, DeviceType.CPU));
        Assert.False(RunSetup.MayFree(own, ranks: 2, DeviceType.CUDA));
        Assert.True(RunSetup.MayFree(new SharedFailureException("all"), ranks: 2, DeviceType.CUDA));
        Assert.True(RunSetup.MayFree(new OperationCanceledException(), ranks: 2, DeviceType.CUDA));
    }
}
