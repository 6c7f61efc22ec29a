using System.Text;

namespace GlmTune.Cli;

/// <summary>Output for people that every message passes through: text quoted from files (names of tensors, keys, roles)
/// cannot send control codes to the terminal.</summary>
/// <param name="inner">The underlying writer.</param>
/// <remarks>A carriage return is allowed at the start of a text, because progress lines are rewritten in
/// place.</remarks>
internal sealed class TerminalWriter(TextWriter inner) : TextWriter(inner.FormatProvider)
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

    private static string? Safe(string? text) =>
        text is null
        || !text.AsSpan().ContainsAnyInRange('\0', '\u001f') && !text.AsSpan().ContainsAnyInRange('\u007f', '\u009f')
            ? text
        : text.StartsWith('\r') ? '\r' + TerminalText.Lines(text[1..])
        : TerminalText.Lines(text);
}
