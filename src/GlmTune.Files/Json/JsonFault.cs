using System.Text;

namespace GlmTune.Files.Json;

/// <summary>The first thing that makes a text invalid JSON, or JSON that has more than one reading.</summary>
/// <param name="Offset">The byte of the text where it is, from 0.</param>
/// <param name="Text">What was found, what was expected, what to do; one or two sentences.</param>
public sealed record JsonFault(int Offset, string Text)
{
    /// <summary>The line and the character in that line, both from 1.</summary>
    /// <param name="text">The text in which the fault was found, in UTF-8.</param>
    public (int Line, int Character) PlaceIn(ReadOnlySpan<byte> text)
    {
        var before = text[..Math.Min(Offset, text.Length)];
        var lineStart = before.LastIndexOf((byte)'\n') + 1;
        return (before.Count((byte)'\n') + 1, Encoding.UTF8.GetCharCount(before[lineStart..]) + 1);
    }
}
