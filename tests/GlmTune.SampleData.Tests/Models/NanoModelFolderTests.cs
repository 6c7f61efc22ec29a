using System.Globalization;
using CsCheck;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.SampleData.Models;

public sealed class NanoModelFolderTests
{
    private const int MaxParameters = 5_000_000;

    private static readonly Tokenizer Tokenizer = TokenizerFile.Read(Committed.Path("models/glm-nano"));

    [Fact]
    public void Any_text_survives_encoding_and_decoding() =>
        Gen.Int[0, 0x10FFFF]
            .Where(System.Text.Rune.IsValid)
            .Select(char.ConvertFromUtf32)
            .Array[0, 40]
            .Select(string.Concat)
            .Sample(
                text => Assert.Equal(text, Tokenizer.Decode(Tokenizer.Encode(text), skipSpecial: false)),
                iter: 500,
                seed: "0000KOIPe6d3"
            );

    [Fact]
    public void Any_byte_has_a_token() =>
        Assert.All(Enumerable.Range(0, 256), value => Assert.Equal([(byte)value], Tokenizer.BytesOf(value).ToArray()));

    [Fact]
    public void Every_content_survives_encoding_and_decoding() =>
        Assert.All(
            Committed
                .ConversationFiles.SelectMany(Committed.Rows)
                .SelectMany(row => row)
                .Select(message => message.Text("content")),
            content => Assert.Equal(content, Tokenizer.Decode(Tokenizer.Encode(content)))
        );

    [Fact]
    public void Special_tokens_follow_the_last_rank()
    {
        var added = Committed.Model("tokenizer_config.json")["added_tokens_decoder"]!.AsObject();

        Assert.Equal(2032, Tokenizer.RankCount);
        Assert.Equal(
            SpecialTokens.Glm4Order.Select((token, i) => ($"{Tokenizer.RankCount + i}", token)),
            added.Select(token => (token.Key, token.Value.Text("content")))
        );
    }

    [Fact]
    public void Stop_and_padding_ids_are_the_tokenizers()
    {
        foreach (var file in new[] { Committed.Model("config.json"), Committed.Model("generation_config.json") })
        {
            Assert.Equal(Tokenizer.Special.Stops, file["eos_token_id"]!.AsArray().Select(id => id!.GetValue<int>()));
            Assert.Equal(Tokenizer.Special.Padding, file["pad_token_id"]!.GetValue<int>());
        }
    }

    [Fact]
    public void Sizes_fit_each_other_and_the_model_stays_small()
    {
        var config = Committed.Model("config.json");
        int Size(string key) => config[key]!.GetValue<int>();
        var (hidden, vocabulary, headWidth) = (Size("hidden_size"), Size("padded_vocab_size"), Size("kv_channels"));
        var keysAndValues = 2 * Size("multi_query_group_num") * headWidth;
        var layer =
            (2 * hidden) // norms
            + ((hidden + keysAndValues) * (hidden + 1))
            + (hidden * hidden) // attention with its bias
            + (3 * hidden * Size("ffn_hidden_size")); // feed-forward: gate, up, down
        var parameters = (2 * vocabulary * hidden) + hidden + (Size("num_layers") * layer);

        Assert.Equal(hidden, Size("num_attention_heads") * headWidth);
        Assert.Equal(0, Size("num_attention_heads") % Size("multi_query_group_num"));
        Assert.Equal(0, vocabulary % 64);
        Assert.InRange(vocabulary, Tokenizer.Count, Tokenizer.Count + 63);
        Assert.InRange(parameters, 1, MaxParameters);
        Assert.Contains(
            parameters.ToString("N0", CultureInfo.InvariantCulture),
            File.ReadAllText(Committed.Path("models/glm-nano/README.md")),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public void Every_row_fits_the_models_sequence()
    {
        var length = Committed.Model("config.json")["seq_length"]!.GetValue<int>();
        var template = new Glm4Template(
            Tokenizer,
            new TemplateOptions { MaxInputTokens = length, MaxOutputTokens = length }
        );
        foreach (var file in Committed.ConversationFiles)
        {
            Assert.All(
                ConversationFile.Read(Committed.Path($"data/{file}.jsonl")),
                row =>
                {
                    var example = Assert.Single(template.RenderTraining(row));
                    Assert.InRange(example.FullLength, 1, length);
                    Assert.InRange(example.SupervisedTokens, 2, example.FullLength);
                }
            );
        }
    }
}
