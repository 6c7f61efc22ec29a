using System.Text;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Testing;

namespace GlmTune.Data.Tests.Tokenization;

/// <summary>ChatGLM3's tokenizer.</summary>
public class SentencePieceTests
{
    private static readonly Tokenizer Small = Read(SentencePieceFile.Create());

    private static readonly string[] Texts =
    [
        "hello world",
        "hello  world ",
        " hello",
        "\n",
        "你好👋！\n",
        "aaaa aaaaa",
        "",
        "</s> <|user|> [gMASK]",
        "a\tb\r\n▁",
    ];

    [Fact]
    public void A_text_begins_with_a_space_and_characters_that_are_no_pieces_become_bytes()
    {
        Assert.Equal(["▁hello", "▁world"], Pieces("hello world"));
        Assert.Equal(["▁", "<0x0A>"], Pieces("\n"));
        Assert.Equal(["▁你", "好", "<0xF0>", "<0x9F>", "<0x91>", "<0x8B>"], Pieces("你好👋"));
        Assert.Empty(Small.Encode(""));
    }

    [Fact]
    public void The_best_pair_is_joined_first_and_of_equals_the_leftmost() =>
        Assert.Equal(["▁", "aa", "aa", "aaa"], [.. Pieces("aaaa")[..3], Pieces("aaa")[^1]]);

    [Fact]
    public void Merging_is_what_the_definition_says()
    {
        var random = new Random(3);
        const string Alphabet = "helowrd 你好a";
        for (var i = 0; i < 300; i++)
        {
            var text = string.Concat(
                Enumerable.Range(0, random.Next(1, 20)).Select(_ => Alphabet[random.Next(Alphabet.Length)])
            );
            Assert.Equal(ByDefinition(text), Pieces(text));
        }
    }

    [Fact]
    public void Ids_are_those_of_SentencePiece()
    {
        using var golden = JsonDocument.Parse(File.ReadAllText(GoldenData.Path("tokenizer/sentencepiece.json")));
        string[] Strings(string key) =>
            [.. golden.RootElement.GetProperty(key).EnumerateArray().Select(text => text.GetString()!)];
        var tokenizer = Read(SentencePieceFile.Create(Strings("pieces")));
        var ids = golden.RootElement.GetProperty("ids").EnumerateArray().ToList();
        foreach (var (index, text) in Strings("texts").Index())
        {
            Assert.Equal(ids[index].EnumerateArray().Select(id => id.GetInt32()), tokenizer.Encode(text));
        }
    }

    [Fact]
    public void Decoding_gives_the_text_back()
    {
        foreach (var text in Texts.Where(text => !text.Contains('▁')))
        {
            Assert.Equal(text, Small.Decode(Small.Encode(text)));
            var stream = new StreamingDecoder(Small);
            Assert.Equal(
                text.Length == 0 ? "" : $" {text}",
                string.Concat(Small.Encode(text).Select(stream.Add)) + stream.Finish()
            );
        }
    }

    [Fact]
    public void Special_tokens_follow_the_pieces_and_stay_text_inside_messages()
    {
        var count = 259 + SentencePieceFile.Words.Count;
        Assert.Equal(
            (count + 1, count + 3, count + 6, count + 7, 2, count + 9),
            (
                Small.Special.GMask,
                Small.Special.Sop,
                Small.Special.User,
                Small.Special.Assistant,
                Small.Special.EndOfText,
                Small.Count
            )
        );
        Assert.DoesNotContain(Small.Special.User, Small.Encode("<|user|></s>"));
        Assert.Equal("<|user|></s>", Small.Decode([Small.Special.User, 2], skipSpecial: false));
        Assert.Equal("", Small.Decode([Small.Special.User, 0, 1, 2]));
    }

    [Fact]
    public void Pieces_of_the_user_are_never_divided_or_joined()
    {
        var tokenizer = Read(SentencePieceFile.Create(whole: ["<n>", "<n><n>"]));
        var (one, two) = (tokenizer.Encode("<n>")[^1], tokenizer.Encode("<n><n>")[^1]);
        Assert.NotEqual(one, two);
        Assert.Equal(
            [.. tokenizer.Encode("he"), two, one, .. tokenizer.Encode("ll")[1..]],
            tokenizer.Encode("he<n><n><n>ll")
        );
    }

    [Fact]
    public void Spaces_are_dropped_and_not_added_if_the_model_says_so()
    {
        var tokenizer = Read(SentencePieceFile.Create(normalizer: [0x18, 0, 0x20, 1]));
        Assert.Equal(tokenizer.Encode("hello world"), tokenizer.Encode("  hello   world "));
        Assert.Equal("hello world", tokenizer.Decode(tokenizer.Encode("  hello   world ")));
    }

    [Fact]
    public void Tokenized_rows_are_kept_for_the_whole_model()
    {
        using var folder = new TemporaryFolder();
        folder.Write("rows.jsonl", "{}");
        string Key(byte[] normalizer) =>
            RowsKey.Of(
                folder.At("rows.jsonl"),
                new Glm4Template(Read(SentencePieceFile.Create(normalizer: normalizer))),
                new ExampleOptions(),
                TestContext.Current.CancellationToken
            );
        Assert.Equal(Key([0x18, 1, 0x20, 0]), Key([0x18, 1, 0x20, 0]));
        Assert.NotEqual(Key([0x18, 1, 0x20, 0]), Key([0x18, 1, 0x20, 1]));
    }

    [Fact]
    public void Files_are_written_back_unchanged()
    {
        using var folder = new TemporaryFolder();
        foreach (
            var write in (Action<Tokenizer, string, string?>[])[TokenizerFile.WriteOriginal, TokenizerFile.WriteLibrary]
        )
        {
            write(Small, folder.Path, null);
            Assert.Equal(SentencePieceFile.Create(), File.ReadAllBytes(folder.At("tokenizer.model")));
            Assert.Equal(Small.Special.All, TokenizerFile.Read(folder.Path).Special.All);
        }
    }

    [Fact]
    public void Other_kinds_are_refused_with_the_reason()
    {
        AssertRefused(SentencePieceFile.Create(type: 1), "only byte-pair encoding (2)");
        AssertRefused(SentencePieceFile.Create(bytes: 200), "200 pieces for single bytes");
        AssertRefused(SentencePieceFile.Create(normalizer: [0x12, 1, 7]), "rewrites characters");
        AssertRefused(SentencePieceFile.Create(normalizer: [0x28, 0]), "keeps spaces");
        AssertRefused(SentencePieceFile.Create(pieces: ["a", "b", "a"]), "the piece 'a' twice");
        AssertRefused(SentencePieceFile.Create()[..500], "damaged");
    }

    [Fact]
    public void Damaged_files_say_so_wherever_they_end()
    {
        var whole = SentencePieceFile.Create();
        for (var length = 64; length < whole.Length; length += 7)
        {
            Assert.Throws<InvalidDataException>(() => Read(whole[..length]));
        }
    }

    [Fact]
    public void Messages_are_encoded_apart_from_their_headers()
    {
        var template = new Glm4Template(Small);
        Assert.Equal((TemplatePreset.ChatGlm3, null), (template.Options.Preset, template.Note));
        var special = Small.Special;
        Assert.Equal(
            [
                special.GMask,
                special.Sop,
                special.User,
                .. Small.Encode("\n"),
                .. Small.Encode("hello"),
                special.Assistant,
                .. Small.Encode("find\n"),
                .. Small.Encode("```python\ntool_call(to='Bonn')\n```"),
                special.Observation,
                .. Small.Encode("\n"),
                .. Small.Encode("9:10"),
                special.Assistant,
            ],
            template.RenderPrompt(
                new Conversation([
                    new Message(Role.User, "hello"),
                    new Message(Role.Assistant, """{"to": "Bonn"}""") { Metadata = "find" },
                    new Message(Role.Observation, "9:10"),
                ])
            )
        );
    }

    [Theory]
    [InlineData("", "Answer the following questions as best as you can. You have access to the following tools:\n")]
    [InlineData("Be brief.", "Be brief.\n")]
    public void Tools_are_a_list_in_the_system_message(string content, string before)
    {
        var template = new Glm4Template(Small);
        var system = new Message(Role.System, content)
        {
            Tools = [new ToolDefinition("function", "f", """{"name": "f"}""")],
        };
        Assert.Equal(
            [
                Small.Special.GMask,
                Small.Special.Sop,
                Small.Special.System,
                .. Small.Encode("\n"),
                .. Small.Encode($"{before}[\n    {{\n        \"name\": \"f\"\n    }}\n]"),
            ],
            template.RenderPrompt(new Conversation([system]), addGenerationPrompt: false)
        );
        Assert.Throws<InvalidDataException>(() =>
            template.RenderPrompt(
                new Conversation([system with { Tools = [new ToolDefinition("python", "python", "")] }])
            )
        );
    }

    [Fact]
    public void The_newline_the_answer_and_the_end_are_supervised()
    {
        var template = new Glm4Template(Small, new TemplateOptions { EndToken = "<|endoftext|>" });
        var example = template
            .RenderTraining(new Conversation([new Message(Role.User, "hello"), new Message(Role.Assistant, "world")]))
            .Single();
        Assert.Equal("[gMASK]sop<|user|>\n hello<|assistant|>«\n world</s>»", MarkedText.Of(example, Small));
    }

    [Fact]
    public void Templates_and_tokenizers_must_belong_together()
    {
        var error = Assert.Throws<InvalidDataException>(() =>
            new Glm4Template(Small, new TemplateOptions { Preset = TemplatePreset.Default })
        );
        Assert.Contains("whose tokenizer is ChatGLM3's", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<InvalidDataException>(() =>
            new Glm4Template(TinyTokenizer.Create(), new TemplateOptions { Preset = TemplatePreset.ChatGlm3 })
        );
        Assert.Contains("whose tokenizer is GLM-4's", error.Message, StringComparison.Ordinal);
    }

    private static void AssertRefused(byte[] file, string said) =>
        Assert.Contains(said, Assert.Throws<InvalidDataException>(() => Read(file)).Message, StringComparison.Ordinal);

    private static Tokenizer Read(byte[] file)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.At("tokenizer.model"), file);
        return TokenizerFile.Read(folder.Path);
    }

    private static string[] Pieces(string text) =>
        [.. Small.Encode(text).Select(id => Small.SentencePiece!.Pieces[id].Text)];

    // Joins, again and again, the leftmost of the best pairs.
    private static IEnumerable<string> ByDefinition(string text)
    {
        List<string> parts = [.. $" {text}".Replace(' ', '▁').EnumerateRunes().Select(rune => rune.ToString())];
        var ranks = SentencePieceFile.Words.Index().ToDictionary(word => word.Item, word => word.Index);
        while (true)
        {
            var best = Enumerable
                .Range(0, parts.Count - 1)
                .Where(i => ranks.ContainsKey(parts[i] + parts[i + 1]))
                .OrderBy(i => ranks[parts[i] + parts[i + 1]])
                .ThenBy(i => i)
                .Cast<int?>()
                .FirstOrDefault();
            if (best is not { } at)
            {
                break;
            }

            parts[at] += parts[at + 1];
            parts.RemoveAt(at + 1);
        }

        return parts.SelectMany(part =>
            ranks.ContainsKey(part) ? [part] : Encoding.UTF8.GetBytes(part).Select(value => $"<0x{value:X2}>")
        );
    }
}
