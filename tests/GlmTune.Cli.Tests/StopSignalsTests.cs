using System.Runtime.InteropServices;

namespace GlmTune.Cli.Tests;

[Collection("Ctrl-C")] // There is one Ctrl-C in a process: an answer of another test would take it.
public sealed class StopSignalsTests
{
    private readonly Clock clock = new();
    private readonly List<int> ended = [];

    [Theory]
    [InlineData(PosixSignal.SIGTERM)]
    [InlineData(PosixSignal.SIGINT)]
    [InlineData(PosixSignal.SIGHUP)]
    [InlineData(PosixSignal.SIGQUIT)]
    [InlineData((PosixSignal)10)]
    [InlineData((PosixSignal)24)]
    [InlineData((PosixSignal)25)]
    public void Each_signal_asks_a_command_that_supports_it_to_stop(PosixSignal signal)
    {
        using var signals = new StopSignals(clock, ended.Add, isRank: false);
        var early = new PosixSignalContext(signal);
        signals.Hear(early);
        Assert.False(early.Cancel);
        Assert.False(signals.Token.IsCancellationRequested);

        signals.Enable();
        var context = new PosixSignalContext(signal);
        signals.Hear(context);
        Assert.True(context.Cancel);
        Assert.True(signals.Token.IsCancellationRequested);
        Assert.Empty(ended);
    }

    [Fact]
    public void A_second_interrupt_ends_the_process_at_once_but_one_press_may_arrive_twice()
    {
        using var signals = new StopSignals(clock, ended.Add, isRank: false);
        signals.Enable();
        Hear(signals, PosixSignal.SIGINT);
        clock.Now += TimeSpan.FromMilliseconds(20);
        Hear(signals, PosixSignal.SIGINT);
        clock.Now += TimeSpan.FromSeconds(2);
        Hear(signals, PosixSignal.SIGTERM);
        Assert.Empty(ended);
        Hear(signals, PosixSignal.SIGINT);
        Assert.Equal([130], ended);
    }

    [Fact]
    public void A_rank_leaves_it_to_its_launcher_to_end_at_once()
    {
        using var signals = new StopSignals(clock, ended.Add, isRank: true);
        signals.Enable();
        Hear(signals, PosixSignal.SIGINT);
        clock.Now += TimeSpan.FromSeconds(2);
        Hear(signals, PosixSignal.SIGINT);
        Assert.Empty(ended);
        Assert.True(signals.Token.IsCancellationRequested);
    }

    [Theory]
    [InlineData("23:50:00", "23:50:00")]
    [InlineData("1-12:00:00", "1.12:00:00")]
    [InlineData("0:00:01", "00:00:01")]
    [InlineData("100:00:00", "4.04:00:00")]
    [InlineData("49-00:00:00", "49.00:00:00")]
    [InlineData("49-00:00:01", null)]
    [InlineData("0:00:00", null)]
    [InlineData("23:50", null)]
    [InlineData("90", null)]
    [InlineData("1:60:00", null)]
    [InlineData("-1:00:00", null)]
    public void A_time_limit_has_hours_minutes_and_seconds(string text, string? time) =>
        Assert.Equal(
            time is null ? null : TimeSpan.Parse(time, System.Globalization.CultureInfo.InvariantCulture),
            TimeLimit.Read(text)
        );

    private static void Hear(StopSignals signals, PosixSignal signal) => signals.Hear(new PosixSignalContext(signal));

    private sealed class Clock : TimeProvider
    {
        public TimeSpan Now { get; set; } = TimeSpan.FromHours(1);

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
