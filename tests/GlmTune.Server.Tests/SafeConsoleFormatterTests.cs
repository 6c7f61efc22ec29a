using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace GlmTune.Server.Tests;

/// <summary>The server's log on a terminal.</summary>
public sealed class SafeConsoleFormatterTests
{
    [Fact]
    public void Codes_in_messages_and_exceptions_are_spelt_out()
    {
        using var text = new StringWriter { NewLine = "\n" };
        new SafeConsoleFormatter(TimeProvider.System).Write(
            new LogEntry<string>(
                LogLevel.Error,
                "glmtune",
                default,
                "/a\u001b[2J\nfail: forged",
                new InvalidDataException("tensor \u001b]52;c;eA==\u0007"),
                (state, _) => state
            ),
            null,
            text
        );
        var lines = text.ToString().Split('\n');
        Assert.EndsWith(" fail: glmtune /a\\u001b[2J\\nfail: forged", lines[0], StringComparison.Ordinal);
        Assert.Contains("tensor \\u001b]52;c;eA==\\u0007", lines[1], StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', text.ToString());
    }
}
