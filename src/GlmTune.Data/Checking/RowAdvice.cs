using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Checking;

/// <summary>Finds oddities in rows that training can use, which <c>data check</c> lists and training
/// summarizes.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class RowAdvice(Glm4Template template)
{
    private static readonly string[] Placeholders = ["<image>", "<video>", "<audio>"];

    private readonly ToolSchemas schemas = new();

    public IEnumerable<Finding> Find(Conversation conversation, string path, RowPlace place)
    {
        Finding Found(FindingKind kind, int message, string text) =>
            new(kind, new DataProblem(path, place, message, text));
        var called = false;
        foreach (var (index, message) in conversation.Messages.Index())
        {
            if (message.Content.Length == 0 && message.Tools.Count == 0)
            {
                yield return Found(
                    FindingKind.EmptyMessage,
                    index,
                    $"an empty message with role '{message.Role.ToString().ToLowerInvariant()}' has no effect."
                );
            }

            if (message.Role == Role.Observation && !called)
            {
                yield return Found(
                    FindingKind.ObservationWithoutCall,
                    index,
                    "an observation without a tool call before it."
                );
            }

            // Several consecutive calls are answered by several consecutive observations.
            called = ToolCall.Read(message) is not null || (called && message.Role == Role.Observation);
            if (template.Tokenizer.FindSpecialText(TextOf(message)) is { } special)
            {
                var effect = template.Options.Preset.ParsesSpecialText
                    ? "becomes a special token with this template"
                    : "is treated as plain text";
                yield return Found(
                    FindingKind.SpecialText,
                    index,
                    $"the text of the special token '{special}' {effect}."
                );
            }

            if (!template.TakesThoughts && message.Content.Contains(Thoughts.Close, StringComparison.Ordinal))
            {
                yield return Found(
                    FindingKind.SpecialText,
                    index,
                    $"the text '{Thoughts.Close}' is treated as plain text: this template has no thoughts."
                );
            }

            if (
                template.Thinks
                && message is { Role: Role.Assistant, IsSupervised: true, Content.Length: > 0 }
                && Thoughts.Of(message).Reasoning.Length == 0
            )
            {
                yield return Found(
                    FindingKind.NoThoughts,
                    index,
                    "an answer without 'reasoning_content', which teaches the model to answer without thinking."
                );
            }

            if (
                Placeholders.FirstOrDefault(text => message.Content.Contains(text, StringComparison.Ordinal)) is
                { } file
            )
            {
                yield return Found(
                    FindingKind.SpecialText,
                    index,
                    $"the text '{file}' refers to a file in other formats; here it is plain text."
                );
            }
        }

        foreach (var (message, kind, text) in schemas.Check(conversation))
        {
            yield return Found(kind, message, text);
        }
    }

    private static string TextOf(Message message) =>
        message.Metadata.Length == 0 ? message.Content : $"{message.Metadata}\n{message.Content}";
}
