using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>Decodes token by token and holds back a character whose bytes have not all come.</summary>
/// <remarks>The pieces put together are what <see cref="Tokenizer.Decode"/> gives for all ids. Not thread-safe: one for
/// each answer.</remarks>
public sealed class StreamingDecoder(Tokenizer tokenizer, bool skipSpecial = true)
{
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();

    /// <summary>Takes the next token.</summary>
    /// <returns>The text that is complete now; often empty in the middle of a character.</returns>
    public string Add(int id) => Text(tokenizer.BytesOf(id, skipSpecial), last: false);

    /// <summary>Ends the answer.</summary>
    /// <returns>What was held back: empty, or U+FFFD for an incomplete character.</returns>
    public string Finish() => Text([], last: true);

    private string Text(ReadOnlySpan<byte> bytes, bool last)
    {
        var text = new char[decoder.GetCharCount(bytes, last)];
        var written = decoder.GetChars(bytes, text, last);
        return new string(text, 0, written);
    }
}
