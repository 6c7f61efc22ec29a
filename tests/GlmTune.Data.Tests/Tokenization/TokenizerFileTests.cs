using System.Text;
using System.Text.Json.Nodes;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Tests.Tokenization;

public class TokenizerFileTests
{
    private static readonly Tokenizer Tiny = TinyTokenizer.Create(chatTemplate: "[gMASK]<sop>{{ messages }}");

    [Fact]
    public void Special_tokens_without_a_list_follow_the_last_rank()
    {
        using var folder = WithRanks(TinyTokenizer.Ranks);
        var special = TokenizerFile.Read(folder.Path).Special;
        Assert.Equal(SpecialTokens.Glm4Order, special.All.Keys);
        Assert.Equal(Enumerable.Range(TinyTokenizer.Ranks.Length, 14), special.All.Values);
    }

    [Fact]
    public void Special_tokens_are_those_that_the_configuration_lists()
    {
        using var folder = WithRanks(TinyTokenizer.Ranks[..256]);
        string[] order =
        [
            "<|user|>",
            "<pad>",
            "<|assistant|>",
            "<sop>",
            "[gMASK]",
            "<|system|>",
            "<|observation|>",
            "<|endoftext|>",
        ];
        var added = new JsonObject(
            order
                .Index()
                .Select(token =>
                    KeyValuePair.Create<string, JsonNode?>(
                        $"{256 + token.Index}",
                        new JsonObject { ["content"] = token.Item }
                    )
                )
        );
        folder.Write(
            "tokenizer_config.json",
            new JsonObject
            {
                ["added_tokens_decoder"] = added,
                ["pad_token"] = new JsonObject { ["content"] = "<pad>" },
            }.ToJsonString()
        );

        var tokenizer = TokenizerFile.Read(folder.Path);

        Assert.Equal(
            (256, 257, 258, 263),
            (
                tokenizer.Special.User,
                tokenizer.Special.Padding,
                tokenizer.Special.Assistant,
                tokenizer.Special.EndOfText
            )
        );
        Assert.Equal(264, tokenizer.Count);
        Assert.Equal("<|user|><pad>", tokenizer.Decode([256, 257], skipSpecial: false));
    }

    [Fact]
    public void Both_layouts_give_back_what_was_written()
    {
        using var original = new TemporaryFolder();
        using var library = new TemporaryFolder();
        TokenizerFile.WriteOriginal(Tiny, original.Path);
        TokenizerFile.WriteLibrary(Tiny, library.Path);
        foreach (var read in (Tokenizer[])[TokenizerFile.Read(original.Path), TokenizerFile.Read(library.Path)])
        {
            Assert.Equal(Tiny.Ranks, read.Ranks);
            Assert.Equal(Tiny.Special.All, read.Special.All);
            Assert.Equal(Tiny.ChatTemplate, read.ChatTemplate);
            Assert.Equal(Tiny.Encode("hello 你好, world"), read.Encode("hello 你好, world"));
        }
    }

    [Fact]
    public void The_library_layout_can_be_read_without_a_configuration()
    {
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteLibrary(Tiny, folder.Path);
        File.Delete(folder.At("tokenizer_config.json"));
        Assert.Equal(Tiny.Special.All, TokenizerFile.Read(folder.Path).Special.All);
    }

    [Fact]
    public void The_library_layout_holds_what_transformers_looks_for()
    {
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteLibrary(Tiny, folder.Path);
        var json = JsonNode.Parse(File.ReadAllText(folder.At("tokenizer.json")))!;

        Assert.Equal("BPE", (string?)json["model"]!["type"]);
        Assert.True((bool?)json["model"]!["ignore_merges"]);
        Assert.Equal(0x21, (int?)json["model"]!["vocab"]!["!"]);
        Assert.Equal(0x20, (int?)json["model"]!["vocab"]!["Ġ"]);
        Assert.Equal("h e", (string?)json["model"]!["merges"]![0]);
        Assert.Equal(PieceSplitter.Pattern, (string?)json["pre_tokenizer"]!["pretokenizers"]![0]!["pattern"]!["Regex"]);
        Assert.False((bool?)json["pre_tokenizer"]!["pretokenizers"]![1]!["use_regex"]);
        Assert.Equal(
            Tiny.Special.GMask,
            (int?)json["post_processor"]!["processors"]![1]!["special_tokens"]!["[gMASK]"]!["ids"]![0]
        );
        Assert.Equal(14, json["added_tokens"]!.AsArray().Count);
        Assert.All(json["added_tokens"]!.AsArray(), token => Assert.True((bool?)token!["special"]));

        var config = JsonNode.Parse(File.ReadAllText(folder.At("tokenizer_config.json")))!;
        Assert.Equal("PreTrainedTokenizerFast", (string?)config["tokenizer_class"]);
        Assert.Equal("<|endoftext|>", (string?)config["eos_token"]);
        Assert.Equal("<|endoftext|>", (string?)config["pad_token"]);
        Assert.Equal("left", (string?)config["padding_side"]);
        Assert.Equal(Tiny.ChatTemplate, (string?)config["chat_template"]);
        Assert.Equal("<|user|>", (string?)config["added_tokens_decoder"]![$"{Tiny.Special.User}"]!["content"]);
    }

    [Fact]
    public void Merges_are_every_way_to_join_two_tokens_by_rank_of_the_result() =>
        Assert.Equal(
            ["a b>ab", "a ba>aba", "ab a>aba"],
            MergeList
                .Of(TinyTokenizer.Ranks)
                .Select(merge => (Left: Text(merge.Left), Right: Text(merge.Right)))
                .Select(merge => $"{merge.Left} {merge.Right}>{merge.Left + merge.Right}")
                .Where(merge => merge.EndsWith(">ab") || merge.EndsWith(">aba"))
        );

    [Fact]
    public void Merges_are_read_as_pairs_too()
    {
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteLibrary(Tiny, folder.Path);
        Edit(
            folder,
            json =>
                json["model"]!["merges"] = new JsonArray([
                    .. json["model"]!["merges"]!
                        .AsArray()
                        .Select(merge => new JsonArray([
                            .. ((string)merge!).Split(' ').Select(part => JsonValue.Create(part)),
                        ])),
                ])
        );
        Assert.Equal(Tiny.Ranks, TokenizerFile.Read(folder.Path).Ranks);
    }

    public static TheoryData<string, Action<JsonNode>, string> OtherKinds() =>
        new()
        {
            { "normalizer", json => json["normalizer"] = new JsonObject { ["type"] = "NFC" }, "normalizer" },
            {
                "pattern",
                json => json["pre_tokenizer"]!["pretokenizers"]![0]!["pattern"]!["Regex"] = @"\w+",
                "Split pattern"
            },
            { "model", json => json["model"]!["type"] = "Unigram", "model.type is Unigram" },
            { "merge missing", json => json["model"]!["merges"]!.AsArray().RemoveAt(3), "merges" },
            { "merge order", json => json["model"]!["merges"]![0] = "l l", "merge 1 is 'l l'" },
            { "id", json => json["model"]!["vocab"]!["!"] = 5, "each id from 0" },
            {
                "alphabet",
                json => Rename(json["model"]!["vocab"]!.AsObject(), "Ġ", "▁"),
                "'▁' contains a character that does not represent a byte"
            },
            { "no vocab", json => json["model"]!.AsObject().Remove("vocab"), "tokenizer.json" },
            { "special", json => json["added_tokens"]![7]!["id"] = 9999, "'<|user|>' is" },
        };

    [Theory]
    [MemberData(nameof(OtherKinds))]
    public void Another_kind_of_tokenizer_is_refused(string change, Action<JsonNode> edit, string message)
    {
        Assert.NotEmpty(change);
        using var folder = new TemporaryFolder();
        TokenizerFile.WriteLibrary(Tiny, folder.Path);
        Edit(folder, edit);
        var error = Assert.Throws<InvalidDataException>(() => TokenizerFile.Read(folder.Path));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains(folder.Path, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("IQ== 0\nIg== 2\n", "line 2: the rank is 2; expected 1")]
    [InlineData("IQ== 0\n?? 1\n", "line 2: found '?? 1'")]
    [InlineData("IQ==\n", "line 1: found 'IQ=='")]
    [InlineData("IQ== 0\nIQ== 1\n", "ranks 0 and 1 are the same token")]
    [InlineData("IQ== 0\n", "255 of the 256 single bytes have no token")]
    public void A_damaged_file_of_ranks_is_reported_with_its_place(string content, string message)
    {
        using var folder = new TemporaryFolder();
        folder.Write("tokenizer.model", content);
        var error = Assert.Throws<InvalidDataException>(() => TokenizerFile.Read(folder.Path));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains(folder.Path, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_missing_special_token_is_named()
    {
        using var folder = WithRanks(TinyTokenizer.Ranks);
        folder.Write(
            "tokenizer_config.json",
            """{"added_tokens_decoder": {"275": {"content": "<sop>"}, "276": {"content": "[gMASK]"}, "277": {"content": "<|user|>"}}}"""
        );
        var error = Assert.Throws<InvalidDataException>(() => TokenizerFile.Read(folder.Path));
        Assert.Contains(
            "'<|endoftext|>', '<|system|>', '<|assistant|>', '<|observation|>'",
            error.Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void A_special_token_on_a_rank_is_refused() =>
        Assert.Throws<InvalidDataException>(() =>
            new Tokenizer(TinyTokenizer.Ranks, SpecialTokens.After(TinyTokenizer.Ranks.Length - 1))
        );

    [Fact]
    public void A_folder_without_a_tokenizer_says_so()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains(
            "no tokenizer.model",
            Assert.Throws<InvalidDataException>(() => TokenizerFile.Read(folder.Path)).Message,
            StringComparison.Ordinal
        );
        Assert.Throws<InvalidDataException>(() => TokenizerFile.Copy(folder.Path, folder.Path));
    }

    [Fact]
    public void A_separate_or_named_chat_template_is_found()
    {
        using var folder = WithRanks(TinyTokenizer.Ranks);
        folder.Write(
            "tokenizer_config.json",
            """{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}], "model_max_length": 1e30}"""
        );
        Assert.Equal("d", TokenizerFile.Read(folder.Path).ChatTemplate);
        folder.Write("chat_template.jinja", "j");
        Assert.Equal("j", TokenizerFile.Read(folder.Path).ChatTemplate);
    }

    [Fact]
    public void Copying_takes_every_file_of_the_tokenizer_and_no_other()
    {
        using var from = WithRanks(TinyTokenizer.Ranks);
        using var to = new TemporaryFolder();
        from.Write("tokenizer_config.json", "{}");
        from.Write("tokenization_chatglm.py", "# never run");
        from.Write("config.json", "{}");
        TokenizerFile.Copy(from.Path, to.At("checkpoint-1"));
        Assert.Equal(
            ["tokenization_chatglm.py", "tokenizer.model", "tokenizer_config.json"],
            Directory
                .GetFiles(to.At("checkpoint-1"))
                .Select(file => Path.GetFileName(file)!)
                .Order(StringComparer.Ordinal)
        );
        Assert.Equal(
            File.ReadAllBytes(from.At("tokenizer.model")),
            File.ReadAllBytes(to.At("checkpoint-1/tokenizer.model"))
        );
    }

    private static TemporaryFolder WithRanks(byte[][] ranks)
    {
        var folder = new TemporaryFolder();
        File.WriteAllBytes(folder.At("tokenizer.model"), TokenRanks.Format(ranks));
        return folder;
    }

    private static void Edit(TemporaryFolder folder, Action<JsonNode> edit)
    {
        var json = JsonNode.Parse(File.ReadAllText(folder.At("tokenizer.json")))!;
        edit(json);
        folder.Write("tokenizer.json", json.ToJsonString());
    }

    private static void Rename(JsonObject vocabulary, string from, string to)
    {
        var id = (int)vocabulary[from]!;
        vocabulary.Remove(from);
        vocabulary[to] = id;
    }

    private static string Text(int rank) => Encoding.UTF8.GetString(TinyTokenizer.Ranks[rank]);
}
