using System.Globalization;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>What an answer of <see cref="BatchAnswers"/> was made from, in short: stored with each row, so that a later
/// run knows whether the rows of an output are its own.</summary>
/// <param name="Model">Of the model and its adapter.</param>
/// <param name="Settings">Of the chat template and the generation settings.</param>
/// <param name="Question">Of the row's conversation without its label.</param>
internal sealed record AnswerDigest(string Model, string Settings, string Question)
{
    /// <summary>The row's key.</summary>
    public const string Key = "digest";

    private const int Digits = 12;

    /// <summary>The digest of one row.</summary>
    /// <param name="model">Fingerprint of model and adapter.</param>
    /// <param name="template">Name of the chat template.</param>
    /// <param name="options">Generation settings as they hold, the model's own included.</param>
    /// <param name="question">The conversation that is answered.</param>
    public static AnswerDigest Of(string model, string template, GenerationOptions options, Conversation question)
    {
        using var text = new MemoryStream();
        ConversationWriter.WriteLine(text, question);
        return new AnswerDigest(
            Short(Encoding.UTF8.GetBytes(model)),
            Short(Encoding.UTF8.GetBytes($"{template}\n{JsonSerializer.Serialize(options)}")),
            Short(text.ToArray())
        );
    }

    /// <summary>Reads what <see cref="ToString"/> writes; null for anything else.</summary>
    public static AnswerDigest? Parse(string? text) =>
        text?.Split('-') is [{ Length: Digits } model, { Length: Digits } settings, { Length: Digits } question]
            ? new AnswerDigest(model, settings, question)
            : null;

    /// <summary>In what two rows differ, in words that follow "it answers" or the like; null: in nothing.</summary>
    public string? DifferenceTo(AnswerDigest expected)
    {
        List<string> differences = [];
        if (Question != expected.Question)
        {
            differences.Add("answers another question");
        }

        if (Model != expected.Model)
        {
            differences.Add("comes from another model or adapter");
        }

        if (Settings != expected.Settings)
        {
            differences.Add("was generated with another chat template or other settings");
        }

        return differences.Count == 0 ? null : string.Join(", ", differences);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Model}-{Settings}-{Question}");

    private static string Short(byte[] bytes) => Convert.ToHexStringLower(XxHash128.Hash(bytes))[..Digits];
}
