using System.Globalization;
using GlmTune.Files;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace GlmTune.Server;

/// <summary>Formats a log entry as one line, with its exception on the lines after it. Text of requests and files
/// cannot send control codes to the terminal.</summary>
/// <param name="time">The clock.</param>
internal sealed class SafeConsoleFormatter(TimeProvider time) : ConsoleFormatter(FormatterName)
{
    /// <summary>The name that options select it by.</summary>
    public const string FormatterName = "glmtune";

    /// <inheritdoc/>
    public override void Write<TState>(
        in LogEntry<TState> logEntry,
        IExternalScopeProvider? scopeProvider,
        TextWriter textWriter
    )
    {
        var level = logEntry.LogLevel switch
        {
            LogLevel.Trace => "trce",
            LogLevel.Debug => "dbug",
            LogLevel.Information => "info",
            LogLevel.Warning => "warn",
            LogLevel.Error => "fail",
            _ => "crit",
        };
        var message = logEntry.Formatter(logEntry.State, logEntry.Exception);
        textWriter.WriteLine(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{time.GetLocalNow():HH:mm:ss} {level}: {logEntry.Category} {TerminalText.Visible(message)}"
            )
        );
        if (logEntry.Exception is { } exception)
        {
            textWriter.WriteLine(TerminalText.Lines(exception.ToString()));
        }
    }
}
