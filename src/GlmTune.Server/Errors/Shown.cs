namespace GlmTune.Server;

/// <summary>Text of a request as messages and logs show it: short, on one line.</summary>
internal static class Shown
{
    private const int Most = 200;

    public static string Of(string text)
    {
        var line = string.Concat(text.Take(Most).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));
        return text.Length > Most ? $"{line}…" : line;
    }
}
