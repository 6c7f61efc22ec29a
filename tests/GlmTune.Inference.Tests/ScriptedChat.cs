using System.Text;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;

namespace GlmTune.Inference.Tests;

/// <summary>A chat model over single bytes that says what a script has for the prompt.</summary>
internal static class ScriptedChat
{
    public static Tokenizer Bytes { get; } =
        new([.. Enumerable.Range(0, 256).Select(value => new[] { (byte)value })], SpecialTokens.After(256));

    /// <param name="script">From the prompt's text (special tokens as text) to what the model writes after it; special
    /// tokens as text too.</param>
    /// <param name="preset">The template; null: the default.</param>
    public static ChatModel Answering(Func<string, string> script, TemplatePreset? preset = null) =>
        new(
            FakeLm.Sure(
                300,
                history =>
                {
                    // A turn that the model opened itself belongs to the answer.
                    var asked = Math.Max(
                        Array.LastIndexOf(history, Bytes.Special.User),
                        Array.LastIndexOf(history, Bytes.Special.Observation)
                    );
                    var start = Array.IndexOf(history, Bytes.Special.Assistant, asked);
                    var answer = Bytes.EncodeWithSpecialTokens(
                        script(Bytes.Decode(history.AsSpan(0, start + 1), skipSpecial: false))
                    );
                    var given = history.Length - start - 1;
                    Assert.True(
                        history.AsSpan(start + 1).SequenceEqual(answer.AsSpan(0, given)),
                        "the cache holds another answer"
                    );
                    return given < answer.Length ? answer[given] : Bytes.Special.User;
                }
            ),
            new Glm4Template(Bytes, new TemplateOptions { Preset = preset ?? TemplatePreset.Default }),
            new GenerationOptions { MaxNewTokens = 500 }
        );

    public static async Task<string> Joined(this IAsyncEnumerable<AnswerText> pieces, bool thoughts = false)
    {
        var text = new StringBuilder();
        await foreach (var piece in pieces)
        {
            text.Append(piece.IsThought == thoughts ? piece.Text : "");
        }

        return text.ToString();
    }
}
