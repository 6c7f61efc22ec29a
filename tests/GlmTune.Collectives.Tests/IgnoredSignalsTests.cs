namespace GlmTune.Collectives.Tests;

public sealed class IgnoredSignalsTests
{
    [Theory]
    [InlineData("Name:\tglmtune\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n", 1, true)]
    [InlineData("Name:\tglmtune\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n", 13, true)]
    [InlineData("Name:\tglmtune\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n", 2, false)]
    [InlineData("SigIgn:\t8000000000000000\n", 64, true)]
    [InlineData("SigIgn:\tmany\n", 1, false)]
    [InlineData("", 1, false)]
    public void The_system_says_which_signals_are_ignored(string status, int number, bool ignored) =>
        Assert.Equal(ignored, IgnoredSignals.IsIn(IgnoredSignals.MaskIn(status), number));
}
