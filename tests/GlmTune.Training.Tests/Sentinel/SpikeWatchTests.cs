using GlmTune.Training.Sentinel;

namespace GlmTune.Training.Tests.Sentinel;

public sealed class SpikeWatchTests
{
    [Fact]
    public void A_number_far_above_the_median_is_a_spike()
    {
        var watch = new SpikeWatch(factor: 3, window: 4);
        foreach (var loss in (double[])[9, 2, 1, 2])
        {
            Assert.Null(watch.Find(loss: 1000, norm: 1000)); // too few to compare with
            watch.Add(loss, norm: 10);
        }

        Assert.Null(watch.Find(6, 30));
        Assert.Equal(("loss", 6.1, 2.0), watch.Find(6.1, 30));
        Assert.Equal(("gradient norm", 30.5, 10.0), watch.Find(6, 30.5));
    }

    [Fact]
    public void Only_the_window_counts()
    {
        var watch = new SpikeWatch(factor: 3, window: 4);
        foreach (var loss in (double[])[100, 100, 100, 1, 1, 1, 1])
        {
            watch.Add(loss, 1);
        }

        Assert.Equal(("loss", 4.0, 1.0), watch.Find(4, 1));
        Assert.Equal([1, 1, 1, 1], watch.Losses);
    }

    [Fact]
    public void A_restored_watch_decides_alike()
    {
        var watch = new SpikeWatch(factor: 2, window: 8);
        for (var step = 0; step < 20; step++)
        {
            watch.Add(1 + (step % 3), 2 + (step % 5));
        }

        var restored = new SpikeWatch(factor: 2, window: 8);
        restored.Add(1000, 1000);
        restored.Restore(watch.Losses, watch.Norms);
        for (var value = 0.0; value < 20; value += 0.5)
        {
            Assert.Equal(watch.Find(value, 1), restored.Find(value, 1));
            Assert.Equal(watch.Find(0, value), restored.Find(0, value));
        }
    }

    [Fact]
    public void Without_a_factor_nothing_is_kept_or_found()
    {
        var watch = new SpikeWatch(factor: 0, window: 8);
        for (var step = 0; step < 20; step++)
        {
            watch.Add(1, 1);
        }

        Assert.Empty(watch.Losses);
        Assert.Null(watch.Find(1e30, 1e30));
    }
}
