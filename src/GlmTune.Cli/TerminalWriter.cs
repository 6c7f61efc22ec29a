using System.Text;
using GlmTune.Files;

namespace GlmTune.Cli;

/// <summary>Output for people that every message passes through: text quoted from files (names of tensors, keys, roles)
/// cannot send control codes to the terminal.</summary>
/// <param name="inner">The underlying writer.</param>
/// <param name="redraws">Whether a carriage return may start a text: a line of progress that replaces the last
/// one.</param>
internal sealed class TerminalWriter(TextWriter inner, bool redraws = false) : TextWriter(inner.FormatProvider)
{
    /// <summary>The writer without the guard, for code that draws with its own control codes.</summary>
    public TextWriter Inner => inner;

    /// <inheritdoc/>
    public override Encoding Encoding => inner.Encoding;

    /// <inheritdoc/>
    public override void Write(char value) => inner.Write(Safe($"{value}"));

    /// <inheritdoc/>
    public override void Write(char[] buffer, int index, int count) =>
        inner.Write(Safe(new string(buffer, index, count)));

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<char> buffer) => inner.Write(Safe(buffer.ToString()));

    /// <inheritdoc/>
    public override void Write(string? value) => inner.Write(Safe(value));

    /// <inheritdoc/>
    public override void WriteLine(string? value) => inner.WriteLine(Safe(value));

    /// <inheritdoc/>
    public override void WriteLine() => inner.WriteLine();

    /// <inheritdoc/>
    public override Task WriteAsync(char value) => inner.WriteAsync(Safe($"{value}"));

    /// <inheritdoc/>
    public override Task WriteAsync(string? value) => inner.WriteAsync(Safe(value));

    /// <inheritdoc/>
    public override Task WriteLineAsync(string? value) => inner.WriteLineAsync(Safe(value));

    /// <inheritdoc/>
    public override void Flush() => inner.Flush();

    /// <inheritdoc/>
    public override Task FlushAsync() => inner.FlushAsync();

    private string? Safe(string? text) =>
        text is null ? null
        : redraws && text.StartsWith('\r') ? '\r' + TerminalText.Lines(text[1..])
        : TerminalText.Lines(text);
}
