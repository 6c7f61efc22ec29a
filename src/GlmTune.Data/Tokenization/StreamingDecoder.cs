using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>Decodes token by token, holding back characters whose bytes are incomplete.</summary>
/// <remarks>The concatenated pieces equal <see cref="Tokenizer.Decode"/> of all ids. Not thread-safe: use one per
/// answer.</remarks>
public sealed class StreamingDecoder(Tokenizer tokenizer, bool skipSpecial = true)
{
    private readonly Decoder decoder = Encoding.UTF8.GetDecoder();

    /// <summary>Adds the next token.</summary>
    /// <returns>The text completed by it; often empty in the middle of a character.</returns>
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
