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
        var (rows, usable, messages, answers, tooLong, calls) = (0, 0, 0, 0, 0, 0);
        var (tokens, supervised) = (0L, 0L);
        var (lengths, findings, notes) = (new List<int>(), new List<Finding>(), new RowNotes());
        // Rows are counted as they come, so that only numbers and findings stay in memory.
        foreach (var row in ConversationFile.Map(path, parallelism, row => Check(row, path), stop: stop))
        {
            rows++;
            findings.AddRange(row.Findings);
            if (row.Source is { } source)
            {
                notes.Add(source);
            }

            if (row.Examples is not { } examples)
            {
                continue;
            }

            messages += row.Messages;
            answers += row.Answers;
            tooLong += row.PromptsTooLong;
            calls += row.ToolCalls;
            lengths.AddRange(examples.Select(example => example.FullLength));
            var used = examples.Where(example => example.SupervisedTokens > 0).ToList();
            usable += used.Count > 0 ? 1 : 0;
            tokens += used.Sum(example => (long)example.TokenIds.Length);
            supervised += used.Sum(example => (long)example.SupervisedTokens);
        }

        return new SplitReport
        {
            File = path,
            Rows = rows,
            UsableRows = usable,
            Messages = messages,
            Answers = answers,
            PromptsTooLong = tooLong,
            ToolCalls = calls,
            Tokens = tokens,
            SupervisedTokens = supervised,
            Lengths = LengthSummary.Of(lengths),
            Findings = findings,
            Notes = notes.Lines(path),
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
