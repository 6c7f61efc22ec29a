using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Checking;

/// <summary>Reads a data file the way training does, and reports what it contains and what is wrong with it, row by
/// row.</summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class DataCheck(Glm4Template template)
{
    private readonly RowAdvice advice = new(template);

    /// <summary>Checks one file. Problems in rows are reported, not thrown.</summary>
    /// <param name="path">Path of the data file.</param>
    /// <param name="parallelism">Number of rows checked concurrently; the result does not depend on it.</param>
    /// <param name="stop">Cancels the check.</param>
    /// <exception cref="InvalidDataException">The file does not exist.</exception>
    public SplitReport Check(string path, int parallelism = 1, CancellationToken stop = default)
    {
        var rows = ConversationFile.Map(path, parallelism, row => Check(row, path), stop: stop).ToList();
        var readable = rows.Where(row => row.Examples is not null).ToList();
        var usable = readable.Where(row => row.Examples!.Any(example => example.SupervisedTokens > 0)).ToList();
        var used = usable.SelectMany(row => row.Examples!).Where(example => example.SupervisedTokens > 0).ToList();
        return new SplitReport
        {
            File = path,
            Rows = rows.Count,
            UsableRows = usable.Count,
            Messages = readable.Sum(row => row.Messages),
            Answers = readable.Sum(row => row.Answers),
            PromptsTooLong = readable.Sum(row => row.PromptsTooLong),
            ToolCalls = readable.Sum(row => row.ToolCalls),
            Tokens = used.Sum(example => (long)example.TokenIds.Length),
            SupervisedTokens = used.Sum(example => (long)example.SupervisedTokens),
            Lengths = LengthSummary.Of(readable.SelectMany(row => row.Examples!).Select(example => example.FullLength)),
            Findings = [.. rows.SelectMany(row => row.Findings)],
            Notes = RowNotes.Of(path, rows.Select(row => row.Source)),
        };
    }

    private CheckedRow Check(ConversationRow row, string path)
    {
        var findings = row.Problems.Select(problem => new Finding(FindingKind.BadRow, problem)).ToList();
        void Found(FindingKind kind, int? message, string text) =>
            findings.Add(new Finding(kind, new DataProblem(path, row.Place, message, text)));
        if (row.Conversation is not { } conversation)
        {
            return new CheckedRow(findings) { Source = row };
        }

        try
        {
            var examples = template.RenderTraining(conversation);
            var answers = template.CountAnswers(conversation);
            Lengths(conversation, examples, row.Place, path, findings);
            findings.AddRange(advice.Find(conversation, path, row.Place));
            return new CheckedRow(findings)
            {
                Source = row,
                Examples = examples,
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

    private void Lengths(
        Conversation conversation,
        IReadOnlyList<TokenizedExample> examples,
        RowPlace place,
        string path,
        List<Finding> findings
    )
    {
        if (examples.All(example => example.SupervisedTokens == 0))
        {
            var problem = TrainingSet.NothingLearnt(template, conversation, examples).In(path, place);
            findings.Add(new Finding(FindingKind.NothingLearnt, problem));
            return;
        }

        foreach (var example in examples.Where(example => example.IsCut))
        {
            var limit = template.Options.MaxTrainingTokens;
            var what = example.LostItsEnd
                ? "the end token is lost, so the row does not teach the model when to stop."
                : "no supervised token is lost at the end.";
            var problem = new DataProblem(
                path,
                place,
                null,
                $"{example.FullLength} tokens are truncated to {limit}; {what}"
            )
            {
                Group = new ProblemGroup(
                    what,
                    example.FullLength,
                    longest => $"truncated to {limit} tokens (the longest has {longest}); {what}"
                ),
            };
            findings.Add(new Finding(example.LostItsEnd ? FindingKind.LostEnd : FindingKind.Cut, problem));
        }
    }

    private sealed record CheckedRow(IReadOnlyList<Finding> Findings)
    {
        public ConversationRow? Source { get; init; }

        public IReadOnlyList<TokenizedExample>? Examples { get; init; }

        public int Messages { get; init; }

        public int Answers { get; init; }

        public int PromptsTooLong { get; init; }

        public int ToolCalls { get; init; }
    }
}
