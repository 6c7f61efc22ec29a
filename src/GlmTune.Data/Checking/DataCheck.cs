using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Checking;

/// <summary>Reads a data file as training would, and says what is in it and what is wrong with it, row by
/// row.</summary>
/// <remarks>Thread-safe.</remarks>
public sealed class DataCheck(Glm4Template template)
{
    private readonly ToolSchemas schemas = new();

    /// <summary>Checks one file; nothing in its rows makes it throw.</summary>
    /// <param name="path">The jsonl file.</param>
    /// <param name="parallelism">Rows that are checked at the same time; the result does not depend on it.</param>
    /// <param name="stop">Ends the check.</param>
    /// <exception cref="InvalidDataException">The file does not exist.</exception>
    public SplitReport Check(string path, int parallelism = 1, CancellationToken stop = default)
    {
        var rows = ConversationFile.Map(path, parallelism, row => Check(row, path), stop: stop).ToList();
        var readable = rows.Where(row => row.Example is not null).ToList();
        var usable = readable.Where(row => row.Example!.SupervisedTokens > 0).ToList();
        return new SplitReport
        {
            File = path,
            Rows = rows.Count,
            UsableRows = usable.Count,
            Messages = readable.Sum(row => row.Messages),
            Answers = readable.Sum(row => row.Answers),
            PromptsTooLong = readable.Sum(row => row.PromptsTooLong),
            ToolCalls = readable.Sum(row => row.ToolCalls),
            Tokens = usable.Sum(row => (long)row.Example!.TokenIds.Length),
            SupervisedTokens = usable.Sum(row => (long)row.Example!.SupervisedTokens),
            Lengths = LengthSummary.Of(readable.Select(row => row.Example!.FullLength)),
            Findings = [.. rows.SelectMany(row => row.Findings)],
        };
    }

    private CheckedRow Check(ConversationRow row, string path)
    {
        var findings = row.Problems.Select(problem => new Finding(FindingKind.BadRow, problem)).ToList();
        void Found(FindingKind kind, int? message, string text) =>
            findings.Add(new Finding(kind, new DataProblem(path, row.Line, message, text)));
        if (row.Conversation is not { } conversation)
        {
            return new CheckedRow(findings);
        }

        try
        {
            var example = template.RenderTraining(conversation);
            var answers = template.CountAnswers(conversation);
            Lengths(conversation, example, Found);
            Messages(conversation, Found);
            foreach (var (message, kind, text) in schemas.Check(conversation))
            {
                Found(kind, message, text);
            }

            return new CheckedRow(findings)
            {
                Example = example,
                Messages = conversation.Messages.Count,
                Answers = answers,
                PromptsTooLong = answers - template.RenderEvaluation(conversation).Count,
                ToolCalls = conversation.Messages.Count(message => ToolCall.Read(message) is not null),
            };
        }
        catch (InvalidDataException e)
        {
            Found(FindingKind.BadRow, null, e.Message);
            return new CheckedRow(findings);
        }
    }

    private void Lengths(Conversation conversation, TokenizedExample example, Action<FindingKind, int?, string> found)
    {
        var cut = $"{example.FullLength} tokens are truncated to {template.Options.MaxTrainingTokens}";
        if (example.SupervisedTokens == 0)
        {
            found(FindingKind.NothingLearnt, null, TrainingSet.NothingLearnt(template, conversation, example));
        }
        else if (example.IsCut)
        {
            found(
                example.LostItsEnd ? FindingKind.LostEnd : FindingKind.Cut,
                null,
                example.LostItsEnd
                    ? $"{cut}; the end token is lost, so the row does not teach the model when to stop."
                    : $"{cut}; no supervised token is lost at the end."
            );
        }
    }

    private void Messages(Conversation conversation, Action<FindingKind, int?, string> found)
    {
        var called = false;
        foreach (var (index, message) in conversation.Messages.Index())
        {
            if (message.Content.Length == 0 && message.Tools.Count == 0)
            {
                found(
                    FindingKind.EmptyMessage,
                    index,
                    $"an empty message with role '{message.Role.ToString().ToLowerInvariant()}' has no effect."
                );
            }

            if (message.Role == Role.Observation && !called)
            {
                found(FindingKind.ObservationWithoutCall, index, "an observation without a tool call before it.");
            }

            // Several calls in a row are answered by several observations in a row.
            called = ToolCall.Read(message) is not null || (called && message.Role == Role.Observation);
            if (template.Tokenizer.FindSpecialText($"{message.Metadata}\n{message.Content}") is { } text)
            {
                var effect = template.Options.Preset.ParsesSpecialText
                    ? "becomes a special token with this template"
                    : "is treated as plain text";
                found(FindingKind.SpecialText, index, $"the text of the special token '{text}' {effect}.");
            }
        }
    }

    private sealed record CheckedRow(IReadOnlyList<Finding> Findings)
    {
        public TokenizedExample? Example { get; init; }

        public int Messages { get; init; }

        public int Answers { get; init; }

        public int PromptsTooLong { get; init; }

        public int ToolCalls { get; init; }
    }
}
