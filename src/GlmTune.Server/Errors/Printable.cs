namespace GlmTune.Server;

/// <summary>Text from a request in a form for messages and logs: short, and on one line.</summary>
internal static class Printable
{
    private const int MaxLength = 200;

    public static string Of(string text)
    {
        var line = string.Concat(text.Take(MaxLength).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));
        return text.Length > MaxLength ? $"{line}…" : line;
    }
}
