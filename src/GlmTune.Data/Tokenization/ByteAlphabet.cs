using System.Text;

namespace GlmTune.Data.Tokenization;

/// <summary>The visible character that stands for each byte in <c>tokenizer.json</c> (the alphabet that GPT-2 brought in).</summary>
/// <remarks>Bytes that are printable in Latin-1 stand for themselves; the others take the characters from U+0100 on, in order.</remarks>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = Build();
    private static readonly Dictionary<char, byte> Bytes = Characters.Index().ToDictionary(pair => pair.Item, pair => (byte)pair.Index);

    public static char Character(byte value) => Characters[value];

    public static string Write(ReadOnlySpan<byte> token)
    {
        var text = new StringBuilder(token.Length);
        foreach (var value in token)
        {
            text.Append(Characters[value]);
        }

        return text.ToString();
    }

    /// <summary>The bytes of a token, or null when it has a character of another alphabet.</summary>
    public static byte[]? Read(string token)
    {
        var bytes = new byte[token.Length];
        for (var i = 0; i < bytes.Length; i++)
        {
            if (!Bytes.TryGetValue(token[i], out bytes[i]))
            {
                return null;
            }
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
}
