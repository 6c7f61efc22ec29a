using System.Text;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests;

/// <summary>A tokenizer of the 256 bytes and a few merges, with GLM-4's special tokens after them.</summary>
internal static class TinyTokenizer
{
    private static readonly string[] Merged =
    [
        "he",
        "ll",
        "hell",
        "hello",
        " w",
        "or",
        "ld",
        " wor",
        " world",
        "你",
        "你好",
        "\n\n",
        "aa",
        "ba",
        "ab",
        "aba",
    ];

    public static byte[][] Ranks { get; } =
    [.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value }), .. Merged.SelectMany(WithParts)];

    public static Tokenizer Create(string? chatTemplate = null) =>
        new(Ranks, SpecialTokens.After(Ranks.Length)) { ChatTemplate = chatTemplate };

    // A Chinese character is put together from its first two bytes and its third, as in a real vocabulary.
    private static IEnumerable<byte[]> WithParts(string token)
    {
        var bytes = Encoding.UTF8.GetBytes(token);
        if (token is "你")
        {
            yield return bytes[..2];
        }

        if (token is "你好")
        {
            yield return bytes[3..5];
            yield return bytes[3..];
        }

        yield return bytes;
    }
}
