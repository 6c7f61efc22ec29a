using System.Text;

namespace GlmTune.Files.Json;

/// <summary>The first thing in a text that makes it invalid or ambiguous JSON.</summary>
/// <param name="Offset">Its position in bytes, from 0.</param>
/// <param name="Text">What was found, what was expected and what to do, in one or two sentences.</param>
internal sealed record JsonFault(int Offset, string Text)
{
    /// <summary>The line, and the character in that line, both from 1.</summary>
    /// <param name="text">The text in which the fault was found, in UTF-8.</param>
    public (int Line, int Character) PlaceIn(ReadOnlySpan<byte> text)
    {
        var before = text[..Math.Min(Offset, text.Length)];
        var lineStart = before.LastIndexOf((byte)'\n') + 1;
        return (before.Count((byte)'\n') + 1, Encoding.UTF8.GetCharCount(before[lineStart..]) + 1);
    }
}
