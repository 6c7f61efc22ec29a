using System.Globalization;
using System.Text;

namespace GlmTune.Testing;

/// <summary>Writes small SentencePiece models of ChatGLM3's kind.</summary>
public static class SentencePieceFile
{
    /// <summary>Pieces for a test, the best first; ▁ stands for a space.</summary>
    public static IReadOnlyList<string> Words { get; } =
    [
        "▁",
        "he",
        "ll",
        "▁he",
        "▁hell",
        "▁hello",
        "lo",
        "▁w",
        "or",
        "▁wor",
        "ld",
        "▁world",
        "你",
        "好",
        "▁你",
        "▁▁",
        "aa",
        "aaa",
    ];

    /// <summary>The file: unknown, start, end, 256 bytes, then the given pieces.</summary>
    /// <param name="pieces">The pieces, the best first.</param>
    /// <param name="type">What the trainer calls its method: 2 is byte-pair encoding.</param>
    /// <param name="normalizer">Further fields of the normalizer, as bytes.</param>
    /// <param name="whole">Pieces that are never divided.</param>
    /// <param name="bytes">Number of pieces for single bytes.</param>
    public static byte[] Create(
        IEnumerable<string>? pieces = null,
        int type = 2,
        byte[]? normalizer = null,
        IEnumerable<string>? whole = null,
        int bytes = 256
    )
    {
        using var file = new MemoryStream();
        void Piece(string text, float score, int kind) =>
            Field(
                file,
                1,
                [.. Bytes(1, Encoding.UTF8.GetBytes(text)), 0x15, .. BitConverter.GetBytes(score), 0x18, (byte)kind]
            );
        Piece("<unk>", 0, 2);
        Piece("<s>", 0, 3);
        Piece("</s>", 0, 3);
        for (var value = 0; value < bytes; value++)
        {
            Piece(string.Create(CultureInfo.InvariantCulture, $"<0x{value:X2}>"), 0, 6);
        }

        foreach (var (index, text) in (pieces ?? Words).Index())
        {
            Piece(text, -index, 1);
        }

        foreach (var text in whole ?? [])
        {
            Piece(text, 0, 4);
        }

        Field(file, 2, [0x18, (byte)type]);
        // A space before the text; no dropping of spaces.
        Field(file, 3, normalizer ?? [0x18, 1, 0x20, 0]);
        return file.ToArray();
    }

    private static void Field(Stream file, int number, byte[] content) => file.Write(Bytes(number, content));

    private static byte[] Bytes(int number, byte[] content)
    {
        List<byte> all = [(byte)((number << 3) | 2)];
        for (var length = content.Length; ; length >>= 7)
        {
            all.Add((byte)((length & 0x7f) | (length > 0x7f ? 0x80 : 0)));
            if (length <= 0x7f)
            {
                break;
            }
        }

        return [.. all, .. content];
    }
}
