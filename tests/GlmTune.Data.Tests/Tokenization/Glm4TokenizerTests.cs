using System.Text.Json;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Tokenization;

/// <summary>The real vocabulary against ids that other implementations give.</summary>
public class Glm4TokenizerTests
{
    [Theory]
    [InlineData("你好", 109377)]
    [InlineData("\n", 198)]
    [InlineData("\n\n", 271)]
    [InlineData("hello", 14978)]
    public void Known_texts_are_one_token(string text, int id) => Assert.Equal([id], SharedData.Glm4.Encode(text));

    [Fact]
    public void Every_golden_text_has_the_ids_of_the_original()
    {
        var tokenizer = SharedData.Glm4;
        var cases = SharedData.Json("glm4/golden_tokenizer.json").GetProperty("cases").EnumerateArray().ToList();
        Assert.Equal(64, cases.Count);
        Assert.All(cases, golden => Agrees(tokenizer, golden));
    }

    [Fact]
    public void Every_Unicode_text_has_the_ids_of_tiktoken()
    {
        var tokenizer = SharedData.Glm4;
        var cases = SharedData.JsonFile(GoldenData.Path("tokenizer/unicode.json")).EnumerateArray().ToList();
        Assert.Equal(200, cases.Count);
        Assert.All(cases, golden => Agrees(tokenizer, golden));
    }

    [Theory]
    [InlineData("advertisegen/dev.json", 1070)]
    [InlineData("toolalpaca/glaive_en.native.jsonl", 300)]
    [InlineData("toolalpaca/glaive_zh.native.jsonl", 300)]
    [InlineData("toolalpaca/glaive_en.messages.jsonl", 300)]
    [InlineData("toolalpaca/glaive_zh.messages.jsonl", 300)]
    [InlineData("toolalpaca/toolalpaca_eval_real.native.jsonl", 110)]
    [InlineData("toolalpaca/toolalpaca_eval_simulated.native.jsonl", 93)]
    public void Decoding_undoes_encoding(string file, int rows)
    {
        var tokenizer = SharedData.Glm4;
        var lines = File.ReadAllLines(GoldenData.Shared(file));
        Assert.Equal(rows, lines.Length);
        foreach (var line in lines)
        {
            var texts = JsonDocument
                .Parse(line)
                .RootElement.EnumerateObject()
                .Select(property => property.Value.ToString());
            foreach (var text in texts.Append(line))
            {
                Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text)));
            }
        }
    }

    [Fact]
    public void Special_tokens_are_those_of_the_configuration_file()
    {
        var special = SharedData.Glm4.Special;
        Assert.Equal((151329, 151331, 151333), (special.EndOfText, special.GMask, special.Sop));
        Assert.Equal(
            (151335, 151336, 151337, 151338),
            (special.System, special.User, special.Assistant, special.Observation)
        );
        Assert.Equal(151329, special.Padding);
        Assert.Equal([151329, 151336, 151338], special.Stops);
        Assert.Equal((151329, 151343), (SharedData.Glm4.RankCount, SharedData.Glm4.Count));
    }

    [Fact]
    public void Padded_rows_of_the_vocabulary_decode_to_nothing() =>
        Assert.Equal("你好", SharedData.Glm4.Decode([151343, 109377, 151551, -100, int.MaxValue], skipSpecial: false));

    [Fact]
    public void The_library_layout_gives_the_same_ids()
    {
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteLibrary(SharedData.Glm4, folder.Path);
        var reread = TokenizerFile.Read(folder.Path);
        Assert.Equal(SharedData.Glm4.Special.All, reread.Special.All);
        Assert.Equal(SharedData.Glm4.ChatTemplate, reread.ChatTemplate);
        foreach (var golden in SharedData.JsonFile(GoldenData.Path("tokenizer/unicode.json")).EnumerateArray())
        {
            Agrees(reread, golden);
        }
    }

    [Fact]
    public void The_original_layout_is_written_byte_for_byte()
    {
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteOriginal(SharedData.Glm4, folder.Path);
        Assert.Equal(
            File.ReadAllBytes(GoldenData.Shared("glm4/tokenizer.model")),
            File.ReadAllBytes(folder.At("tokenizer.model"))
        );
        Assert.Equal(SharedData.Glm4.Special.All, TokenizerFile.Read(folder.Path).Special.All);
    }

    private static void Agrees(Tokenizer tokenizer, JsonElement golden)
    {
        var text = golden.Text("text");
        Assert.Equal(golden.Ids("ids"), tokenizer.Encode(text));
        Assert.Equal(text, tokenizer.Decode(golden.Ids("ids")));
    }
}
