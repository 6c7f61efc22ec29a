using System.Text;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>A training sequence as readable text, split into supervised and other ranges.</summary>
internal static class MarkedText
{
    /// <summary>The ranges in order; special tokens appear as their text.</summary>
    public static IEnumerable<(string Text, bool IsSupervised)> Stretches(TokenizedExample example, Tokenizer tokenizer)
    {
        var from = 0;
        foreach (var (start, end) in example.Supervised)
        {
            if (start > from)
            {
                yield return (tokenizer.Decode(example.TokenIds.AsSpan(from..start), skipSpecial: false), false);
            }

            yield return (tokenizer.Decode(example.TokenIds.AsSpan(start..end), skipSpecial: false), true);
            from = end;
        }

        if (from < example.TokenIds.Length)
        {
            yield return (tokenizer.Decode(example.TokenIds.AsSpan(from), skipSpecial: false), false);
        }
    }

    /// <summary>The text with supervised tokens between « and ».</summary>
    public static string Of(TokenizedExample example, Tokenizer tokenizer)
    {
        var text = new StringBuilder();
        foreach (var (stretch, isLearnt) in Stretches(example, tokenizer))
        {
            text.Append(isLearnt ? $"«{stretch}»" : stretch);
        }

        return text.ToString();
    }
}
