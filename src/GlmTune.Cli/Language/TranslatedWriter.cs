using System.Text;

namespace GlmTune.Cli.Language;

/// <summary>A stream of messages for people: every message is shown in their language if it has a
/// translation.</summary>
/// <param name="inner">Where the messages go.</param>
/// <param name="catalogue">The translations.</param>
/// <remarks>A message must be written at once: parts are translated part by part.</remarks>
internal sealed class TranslatedWriter(TextWriter inner, Catalogue catalogue) : TextWriter(inner.FormatProvider)
{
    /// <inheritdoc/>
    public override Encoding Encoding => inner.Encoding;

    /// <inheritdoc/>
    public override void Write(char value) => inner.Write(value);

    /// <inheritdoc/>
    public override void Write(char[] buffer, int index, int count) => inner.Write(buffer, index, count);

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<char> buffer) => inner.Write(buffer);

    /// <inheritdoc/>
    public override void Write(string? value) => inner.Write(value is null ? null : catalogue.Lines(value));

    /// <inheritdoc/>
    public override void WriteLine(string? value) => inner.WriteLine(value is null ? null : catalogue.Lines(value));

    /// <inheritdoc/>
    public override void WriteLine() => inner.WriteLine();

    /// <inheritdoc/>
    public override Task WriteAsync(string? value) => inner.WriteAsync(value is null ? null : catalogue.Lines(value));

    /// <inheritdoc/>
    public override Task WriteLineAsync(string? value) =>
        inner.WriteLineAsync(value is null ? null : catalogue.Lines(value));

    /// <inheritdoc/>
    public override void Flush() => inner.Flush();

    /// <inheritdoc/>
    public override Task FlushAsync() => inner.FlushAsync();
}
