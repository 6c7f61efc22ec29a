using GlmTune.Collectives.Native;

namespace GlmTune.Collectives.Tests;

public class ProcessFamilyTests
{
    [Fact]
    public async Task A_signal_goes_on_to_members_that_start_after_it()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "The numbers of signals are Linux's.");
        const int userSignal2 = 12;
        using var family = new ProcessFamily(TextWriter.Null, grace: TimeSpan.FromMinutes(1));
        var first = family.Start("first", ["sleep", "600"], new Dictionary<string, string?>());
        Assert.True(HostProcess.Signal(Environment.ProcessId, userSignal2));
        await first.WaitForExitAsync(TestContext.Current.CancellationToken);

        var second = family.Start("second", ["sleep", "600"], new Dictionary<string, string?>());

        await second.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal((128 + userSignal2, 128 + userSignal2), (first.ExitCode, second.ExitCode));
        Assert.Equal(128 + userSignal2, family.WaitForEnd());
    }
}
