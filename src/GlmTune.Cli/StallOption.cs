using System.CommandLine;
using System.Globalization;
using GlmTune.Collectives;
using GlmTune.Collectives.Native;

namespace GlmTune.Cli;

/// <summary>The option <c>--stall-timeout</c>: how long a run may make no progress before it is ended.</summary>
internal static class StallOption
{
    private const string Name = "--stall-timeout";

    /// <summary>The option; null without it.</summary>
    public static Option<TimeSpan?> Create() =>
        TimeOption.Create(
            Name,
            "HH:MM:SS",
            "end a run that makes no progress for this time, and say what each rank waits for; seconds, or a time "
                + "such as 00:25:00; 0: never (training_args.stall_timeout)",
            Read,
            text =>
                $"'{text}' is not a time for {Name}; expected seconds such as 1500, hours, minutes and seconds such as "
                + "00:25:00, or 0 for never."
        );

    /// <summary>Watches a run.</summary>
    /// <param name="timeout">The longest time without progress; zero: do not watch.</param>
    /// <param name="ranks">The ranks.</param>
    /// <param name="error">Receives the report.</param>
    /// <returns>The watch; null if there is none.</returns>
    public static IDisposable? Watch(TimeSpan timeout, ICollectives ranks, TextWriter error) =>
        timeout == TimeSpan.Zero
            ? null
            : new StallWatch(
                timeout,
                [ranks.Activity],
                error.WriteLine,
                stalled =>
                {
                    ranks.Abort(stalled, LostRankException.ExitCode);
                    HostProcess.ExitNow(LostRankException.ExitCode); // A single rank has nobody who ends it.
                }
            );

    /// <summary>The time that a text means, zero for never; null if it is none.</summary>
    internal static TimeSpan? Read(string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            ? TimeSpan.FromSeconds(seconds)
            : TimeLimit.Read(text);
}
