namespace GlmTune.Server;

/// <summary>Text of a request as messages and logs show it: short, on one line.</summary>
internal static class Shown
{
    public static string Of(string text)
    {
        var line = string.Concat(text.Take(80).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));
        return text.Length > 80 ? $"{line}…" : line;
    }
}
