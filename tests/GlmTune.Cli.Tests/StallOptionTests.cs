using GlmTune.Collectives;

namespace GlmTune.Cli.Tests;

public sealed class StallOptionTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("90", 90)]
    [InlineData("00:25:00", 1500)]
    [InlineData("1-00:00:01", 86_401)]
    [InlineData("-5", null)]
    [InlineData("25m", null)]
    [InlineData("", null)]
    public void Times_are_seconds_or_hours_minutes_and_seconds(string text, int? seconds) =>
        Assert.Equal(seconds, (int?)StallOption.Read(text)?.TotalSeconds);

    [Fact]
    public void Zero_watches_nothing_and_any_other_time_does()
    {
        using var alone = new SingleRank();
        Assert.Null(StallOption.Watch(TimeSpan.Zero, alone, TextWriter.Null));
        using var watch = StallOption.Watch(TimeSpan.FromDays(1), alone, TextWriter.Null);
        Assert.IsType<StallWatch>(watch);
    }
}
