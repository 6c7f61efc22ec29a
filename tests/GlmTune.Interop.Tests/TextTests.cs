using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Weights.Gguf;

namespace GlmTune.Interop.Tests;

/// <summary>llama.cpp reads texts and conversations as we do.</summary>
public sealed class TextTests : IDisposable
{
    private static readonly string[] Texts =
    [
        "你好，世界！",
        "Hello, world!  It's 12345 o'clock\n\n\tand  more   ",
        "  leading",
        "trailing \n",
        "\r\n\r\n x",
        "👩‍🚀 emoji 😀😀 🏳️‍🌈",
        "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠀀𠀁 ſK 'S 'LL",
        "mixed中文and English１２３４５67",
        "[gMASK]<sop><|user|>\n类型#裙*颜色#红色<|assistant|>\n好<|endoftext|>",
        "a<|user|>b<|observation|> c",
        "",
        "x",
    ];

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Texts_have_the_same_ids()
    {
        using var llama = new LlamaModel(Exported.Write(Exported.Nano, folder.At("nano.gguf")));
        var tokenizer = TokenizerFile.Read(Exported.Nano);
        Assert.All(Texts, text => Assert.Equal(tokenizer.EncodeWithSpecialTokens(text), llama.Tokenize(text)));
    }

    // GLM-4's own vocabulary: in a file without weights, which is enough for llama.cpp's tokenizer.
    [Fact]
    public void Texts_have_the_same_ids_in_GLM_4s_vocabulary()
    {
        var tokenizer = TokenizerFile.Read(GoldenData.Shared("glm4"));
        var metadata = new GgufMetadata();
        metadata.Add("general.architecture", "chatglm");
        GgufTokenizer.Write(metadata, tokenizer, "chatglm-bpe", 151552, new Glm4Template(tokenizer).ChatTemplate);
        using (var writer = new GgufWriter(folder.At("words.gguf"), metadata, []))
        {
            writer.Complete();
        }

        using var llama = new LlamaModel(folder.At("words.gguf"), vocabularyOnly: true);
        using var json = JsonDocument.Parse(File.ReadAllBytes(GoldenData.Path("tokenizer/unicode.json")));
        var golden = json.RootElement.EnumerateArray().Select(item => item.GetProperty("text").GetString()!);
        Assert.All(
            Texts.Concat(golden),
            text => Assert.Equal(tokenizer.EncodeWithSpecialTokens(text), llama.Tokenize(text))
        );
    }

    [Fact]
    public void Answers_end_where_ours_end()
    {
        using var llama = new LlamaModel(Exported.Write(Exported.Nano, folder.At("nano.gguf")));
        var special = TokenizerFile.Read(Exported.Nano).Special;
        Assert.Equal(special.Stops.Order(), Enumerable.Range(0, llama.VocabularySize).Where(llama.IsEnd));
    }

    // llama.cpp has the frame of GLM-4 built in and finds it by the template in the file. It lets an answer begin
    // after the line break, where ours begins with it.
    [Fact]
    public void A_conversation_is_rendered_as_we_do()
    {
        using var llama = new LlamaModel(Exported.Write(Exported.Nano, folder.At("nano.gguf")));
        var template = TunedChatFiles.Read(Exported.Nano).Template;
        Assert.Equal(template.ChatTemplate, llama.Metadata("tokenizer.chat_template"));
        Message[] messages =
        [
            new(Role.System, "简短回答。"),
            new(Role.User, "Hi  there"),
            new(Role.Assistant, "Hello 😀"),
            new(Role.User, "再见"),
        ];
        var text = template.Tokenizer.Decode(template.RenderPrompt(new Conversation(messages)), skipSpecial: false);
        Assert.Equal(
            text + "\n",
            llama.Render([.. messages.Select(message => (message.Role.ToString().ToLowerInvariant(), message.Content))])
        );
    }
}
