namespace GlmTune.Cli.Tests;

/// <summary>Everything that commands write passes through the guard.</summary>
public sealed class TerminalWriterTests
{
    [Fact]
    public void Only_a_line_of_progress_may_replace_the_last_line()
    {
        using var inner = new StringWriter();
        using (var output = new TerminalWriter(inner))
        {
            output.Write("\rover");
        }

        using (var error = new TerminalWriter(inner, redraws: true))
        {
            error.Write("\r3 of 4");
            error.Write("a\rb");
        }

        Assert.Equal("\\u000dover\r3 of 4a\\u000db", inner.ToString());
    }

    [Fact]
    public async Task Every_way_of_writing_is_guarded()
    {
        const string bad = "\u001b[2J\u202e";
        const string shown = "\\u001b[2J\\u202e";
        using var inner = new StringWriter { NewLine = "\n" };
        await using var writer = new TerminalWriter(inner);
        writer.Write(bad);
        writer.WriteLine(bad);
        writer.Write(bad.ToCharArray(), 0, bad.Length);
        writer.Write(bad.AsSpan());
        foreach (var c in bad)
        {
            writer.Write(c);
        }

        writer.Write("{0}", bad);
        writer.WriteLine("{0}{1}", bad, 1);
        writer.WriteLine((object)bad);
        await writer.WriteAsync(bad);
        await writer.WriteLineAsync(bad);
        foreach (var c in bad)
        {
            await writer.WriteAsync(c);
        }

        var text = inner.ToString();
        Assert.DoesNotContain('\u001b', text);
        Assert.DoesNotContain('\u202e', text);
        Assert.Equal(11, text.Split(shown).Length - 1);
    }
}
