using TorchSharp;

namespace GlmTune.Collectives.Tests;

public class RankResourcesTests
{
    [Fact]
    public void A_rank_that_fails_alone_on_a_GPU_frees_nothing_that_waits_for_the_others()
    {
        var own = new InvalidOperationException("out of memory");
        Assert.True(RankResources.MayFree(own, ranks: 1, DeviceType.CUDA));
        Assert.True(RankResources.MayFree(own, ranks: 2, DeviceType.CPU));
        Assert.False(RankResources.MayFree(own, ranks: 2, DeviceType.CUDA));
        Assert.True(RankResources.MayFree(new SharedFailureException("all"), ranks: 2, DeviceType.CUDA));
        Assert.True(RankResources.MayFree(new OperationCanceledException(), ranks: 2, DeviceType.CUDA));
    }

    [Theory, InlineData(false), InlineData(true)]
    public void What_was_made_is_freed_the_last_first_whether_the_work_fails_or_not(bool fails)
    {
        var freed = new List<int>();
        int Work(RankResources resources)
        {
            resources.Own(new Part(() => freed.Add(1)));
            resources.Own(new Part(() => freed.Add(2)));
            return fails ? throw new InvalidDataException("no") : 7;
        }

        if (fails)
        {
            Assert.Throws<InvalidDataException>(() => RankResources.Use(null, Work));
        }
        else
        {
            Assert.Equal(7, RankResources.Use(null, Work));
        }

        Assert.Equal([2, 1], freed);
    }

    private sealed class Part(Action free) : IDisposable
    {
        public void Dispose() => free();
    }
}
