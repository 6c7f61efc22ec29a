using System.Runtime.InteropServices;
using System.Text.Json;
using GlmTune.Data.Tokenization;
using PeerTokenizer = Tokenizers.DotNet.Tokenizer;

namespace GlmTune.Interop.Tests;

/// <summary>Hugging Face's tokenizers library reads the <c>tokenizer.json</c> that we write, and gives our
/// ids.</summary>
public class HuggingFaceTokenizerTests
{
    [Theory]
    [InlineData("advertisegen/dev.json", 2_140)]
    [InlineData("toolalpaca/glaive_zh.messages.jsonl", 300)]
    [InlineData("toolalpaca/glaive_en.messages.jsonl", 300)]
    public void All_texts_have_equal_ids(string file, int atLeast)
    {
        var ours = TokenizerFile.Read(GoldenData.Shared("glm4"));
        using var peer = Written(ours);
        var texts = File.ReadLines(GoldenData.Shared(file))
            .SelectMany(line => TextsOf(JsonDocument.Parse(line).RootElement))
            .ToList();
        Assert.True(texts.Count >= atLeast, $"{texts.Count} texts");
        Assert.All(texts, text => AssertEqual(ours, peer, text));
    }

    [Fact]
    public void Hard_texts_have_equal_ids()
    {
        var ours = TokenizerFile.Read(GoldenData.Shared("glm4"));
        using var peer = Written(ours);
        string[] parts =
        [
            "  ",
            "\n",
            "'ll",
            "12345",
            "é",
            "𠀀",
            "😀",
            "，",
            "裙子",
            "的",
            "\t",
            "don't",
            "한국",
            "क्ष",
            "#",
        ];
        var random = new Random(20261129);
        for (var i = 0; i < 3_000; i++)
        {
            AssertEqual(ours, peer, string.Concat(random.GetItems(parts, random.Next(1, 30))));
            // Neighbors share most of their bytes.
            var start = random.Next(0x4E00, 0x9F00);
            AssertEqual(
                ours,
                peer,
                string.Concat(Enumerable.Range(0, 20).Select(_ => (char)(start + random.Next(64))))
            );
        }

        AssertEqual(ours, peer, new string('的', 700));
        AssertEqual(ours, peer, string.Concat(Enumerable.Repeat("连衣裙", 400)));
    }

    private static void AssertEqual(Tokenizer ours, PeerTokenizer peer, string text)
    {
        // The peer starts every text as every sequence starts.
        int[] expected = [ours.Special.GMask, ours.Special.Sop, .. ours.Encode(text)];
        Assert.Equal(peer.Encode(text).Select(id => (int)id), expected);
    }

    private static PeerTokenizer Written(Tokenizer tokenizer)
    {
        Assert.SkipUnless(
            OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64,
            "The package has native code for Linux on x64 alone."
        );
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteLibrary(tokenizer, folder.Path);
        return new PeerTokenizer(folder.At("tokenizer.json"));
    }

    private static IEnumerable<string> TextsOf(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => [value.GetString()!],
            JsonValueKind.Object => value.EnumerateObject().SelectMany(member => TextsOf(member.Value)),
            JsonValueKind.Array => value.EnumerateArray().SelectMany(TextsOf),
            _ => [],
        };
}
