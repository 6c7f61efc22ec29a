namespace GlmTune.Data.Conversations;

/// <summary>The thoughts that a reasoning model writes before its answer: <c>&lt;think&gt;</c>, a line break, the
/// thoughts, a line break, <c>&lt;/think&gt;</c>, a line break, then the answer.</summary>
/// <param name="Reasoning">The thoughts, trimmed; empty if there are none.</param>
/// <param name="Answer">What follows them, trimmed.</param>
internal readonly record struct Thoughts(string Reasoning, string Answer)
{
    /// <summary>The text before thoughts.</summary>
    public const string Open = "<think>";

    /// <summary>The text after thoughts.</summary>
    public const string Close = "</think>";

    /// <summary>The thoughts of a message: <see cref="Message.Reasoning"/>, or what stands in its content up to the
    /// last <c>&lt;/think&gt;</c>.</summary>
    public static Thoughts Of(Message message)
    {
        var end = message.Content.LastIndexOf(Close, StringComparison.Ordinal);
        return end < 0
            ? new Thoughts(message.Reasoning.Trim(), message.Content.Trim())
            : new Thoughts(
                message.Reasoning.Length > 0 ? message.Reasoning.Trim() : Inside(message.Content[..end]),
                message.Content[(end + Close.Length)..].Trim()
            );
    }

    /// <summary>Splits generated text that begins with thoughts, after <c>&lt;think&gt;</c> or with it. Thoughts that
    /// do not end leave no answer.</summary>
    public static Thoughts Generated(string text)
    {
        var end = text.IndexOf(Close, StringComparison.Ordinal);
        return end < 0
            ? new Thoughts(Inside(text), "")
            : new Thoughts(Inside(text[..end]), text[(end + Close.Length)..].Trim());
    }

    /// <summary>The text from the line after <c>&lt;think&gt;</c> to the start of the answer.</summary>
    /// <param name="reasoning">The thoughts; empty: none.</param>
    public static string Written(string reasoning) => $"{reasoning}\n{Close}\n";

    private static string Inside(string text)
    {
        var trimmed = text.AsSpan().Trim();
        return (trimmed.StartsWith(Open, StringComparison.Ordinal) ? trimmed[Open.Length..] : trimmed)
            .Trim()
            .ToString();
    }
}
