using System.Globalization;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Recipes.Chat;

/// <summary>Fingerprints of everything that an answer of <see cref="BatchAnswers"/> depends on. Stored with each row,
/// so that a later run can tell whether the rows of an output are its own.</summary>
/// <param name="Model">Fingerprint of the model and its adapter.</param>
/// <param name="Settings">Fingerprint of the chat template and the generation settings.</param>
/// <param name="Question">Fingerprint of the row's conversation without its label.</param>
internal sealed record AnswerDigest(string Model, string Settings, string Question)
{
    /// <summary>The key under which a row stores it.</summary>
    public const string Key = "digest";

    private const int Digits = 12;

    /// <summary>The digest of one row.</summary>
    /// <param name="model">Fingerprint of model and adapter.</param>
    /// <param name="template">Name of the chat template.</param>
    /// <param name="options">The generation settings in effect, including the model's own.</param>
    /// <param name="question">The conversation to answer.</param>
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

    /// <summary>Parses the output of <see cref="ToString"/>; null for any other text.</summary>
    public static AnswerDigest? Parse(string? text) =>
        text?.Split('-') is [{ Length: Digits } model, { Length: Digits } settings, { Length: Digits } question]
            ? new AnswerDigest(model, settings, question)
            : null;

    /// <summary>How two rows differ, as a phrase that follows the row's position; null if they do not.</summary>
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
