using GlmTune.Data.Templates;

namespace GlmTune.Data.Batching;

/// <summary>Writes one example into the arrays of a micro-batch.</summary>
internal static class Place
{
    public static void Example(TokenizedExample example, Span<int> ids, Span<int> labels, Span<int> positions, int at)
    {
        example.TokenIds.CopyTo(ids[at..]);
        foreach (var (start, end) in example.Supervised)
        {
            example.TokenIds.AsSpan(start..end).CopyTo(labels[(at + start)..]);
        }

        for (var i = 0; i < example.TokenIds.Length; i++)
        {
            positions[at + i] = i;
        }
    }
}
