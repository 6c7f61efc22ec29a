namespace GlmTune.Server;

/// <summary>Text from a request in a form for messages and logs: short, and on one line.</summary>
internal static class Shown
{
    private const int Most = 200;

    public static string Of(string text)
    {
        var line = string.Concat(text.Take(Most).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));
        return text.Length > Most ? $"{line}…" : line;
    }
}
