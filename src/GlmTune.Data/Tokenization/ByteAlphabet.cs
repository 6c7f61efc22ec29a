namespace GlmTune.Data.Tokenization;

/// <summary>The visible character that represents each byte in <c>tokenizer.json</c> (GPT-2's byte alphabet).</summary>
/// <remarks>Bytes that are printable in Latin-1 represent themselves; the others are mapped to the characters from
/// U+0100 on, in order.</remarks>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = Build();
    private static readonly short[] Bytes = Invert();

    public static string Write(byte[] token) =>
        string.Create(
            token.Length,
            token,
            (text, bytes) =>
            {
                for (var i = 0; i < bytes.Length; i++)
                {
                    text[i] = Characters[bytes[i]];
                }
            }
        );

    /// <summary>The bytes of a token; null if it contains a character outside the alphabet.</summary>
    public static byte[]? Read(ReadOnlySpan<char> token)
    {
        var bytes = new byte[token.Length];
        for (var i = 0; i < bytes.Length; i++)
        {
            if (token[i] >= Bytes.Length || Bytes[token[i]] < 0)
            {
                return null;
            }

            bytes[i] = (byte)Bytes[token[i]];
        }

        return bytes;
    }

    private static char[] Build()
    {
        var characters = new char[256];
        var next = '\u0100';
        for (var value = 0; value < 256; value++)
        {
            characters[value] = value is (> 0x20 and < 0x7F) or (> 0xA0 and not 0xAD) ? (char)value : next++;
        }

        return characters;
    }

    private static short[] Invert()
    {
        var bytes = new short[Characters.Max() + 1];
        bytes.AsSpan().Fill(-1);
        for (var value = 0; value < 256; value++)
        {
            bytes[Characters[value]] = (short)value;
        }

        return bytes;
    }
}
