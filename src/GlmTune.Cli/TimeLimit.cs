using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace GlmTune.Cli;

/// <summary>The option <c>--max-time</c>: how long a command may run, counted from the start of the process.</summary>
internal static partial class TimeLimit
{
    private const string Name = "--max-time";

    // The longest that a timer of .NET can wait is a little longer.
    private static readonly TimeSpan Longest = TimeSpan.FromDays(49);

    /// <summary>The option; null without it.</summary>
    public static Option<TimeSpan?> Create() =>
        TimeOption.Create(
            Name,
            "[D-]HH:MM:SS",
            "save a checkpoint and end after this time, such as 23:50:00 or 1-12:00:00, with exit code 130; leave "
                + "time for one step and for saving",
            Read,
            text =>
                $"'{text}' is not a time for {Name}; expected hours, minutes and seconds such as 23:50:00, or days "
                + "before them such as 1-12:00:00; at most 49 days."
        );

    /// <summary>Cancels a source when the time is over.</summary>
    /// <param name="limit">The time; null: no limit.</param>
    /// <param name="source">The source.</param>
    /// <param name="note">Called when the time is over.</param>
    /// <returns>The timer, which no longer acts once it is disposed; null without a limit.</returns>
    public static IDisposable? Apply(TimeSpan? limit, CancellationTokenSource source, Action<string> note)
    {
        if (limit is not { } time)
        {
            return null;
        }

        using var process = Process.GetCurrentProcess();
        var left = time - (DateTime.Now - process.StartTime);
        var timer = new CancellationTokenSource(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        timer.Token.Register(() =>
        {
            note($"the time limit of {Text(time)} is over: training ends after this step and saves a checkpoint");
            source.Cancel();
        });
        return timer;
    }

    /// <summary>The time that a text means; null if it is none.</summary>
    internal static TimeSpan? Read(string text)
    {
        var match = Pattern().Match(text);
        if (!match.Success)
        {
            return null;
        }

        int Part(int group) =>
            match.Groups[group].Value is { Length: > 0 } digits ? int.Parse(digits, CultureInfo.InvariantCulture) : 0;
        var time = new TimeSpan(Part(1), Part(2), Part(3), Part(4));
        return time > TimeSpan.Zero && time <= Longest ? time : null;
    }

    private static string Text(TimeSpan time) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{(time.Days > 0 ? $"{time.Days}-" : "")}{time.Hours:00}:{time.Minutes:00}:{time.Seconds:00}"
        );

    [GeneratedRegex(@"^(?:(\d{1,2})-)?(\d{1,4}):([0-5]?\d):([0-5]?\d)$", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();
}
