using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Data.Converting;

/// <summary>The result of converting a file.</summary>
/// <param name="Entries">Entries in the source.</param>
/// <param name="Conversations">Rows written.</param>
/// <param name="Problems">Problems of the entries that were skipped.</param>
public sealed record ConversionReport(int Entries, int Conversations, IReadOnlyList<DataProblem> Problems)
{
    /// <summary>Number of entries, or conversations within an entry, that were skipped.</summary>
    public int Skipped => Problems.Select(problem => problem.Place).Distinct().Count();

    /// <summary>Number of assistant messages without text in the rows that were written.</summary>
    public int EmptyAnswers { get; init; }

    /// <summary>Notes for the user: ignored keys and converted formats.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}

/// <summary>Converts data of another format into the fine-tuning format. Writes only rows that training can
/// read.</summary>
public static class DataConversion
{
    /// <summary>Converts a file; the target is replaced only after everything has been written.</summary>
    /// <param name="shape">Format of the source.</param>
    /// <param name="source">Path of a JSON array, or of a sequence of objects.</param>
    /// <param name="target">Path of the JSON Lines file to write.</param>
    /// <param name="calls">How to write tool calls: as GLM-4 does, unless <see cref="ToolCallStyle.Json"/>.</param>
    /// <param name="badRows">What to do with entries that have a problem.</param>
    /// <exception cref="InvalidDataException">Entries have problems and the policy is <see cref="BadRows.Error"/>, or
    /// no entry can be converted.</exception>
    internal static ConversionReport Convert(
        RowShape shape,
        string source,
        string target,
        ToolCallStyle calls = ToolCallStyle.Native,
        BadRows badRows = BadRows.Error
    )
    {
        if (WriteProbe.FindProblemOfFile(target) is { } unwritable)
        {
            throw new InvalidDataException(unwritable);
        }

        var report = new ConversionReport(0, 0, []);
        AtomicFile.Write(
            target,
            file =>
            {
                var (entries, written, emptyAnswers) = (0, 0, 0);
                var problems = new List<DataProblem>();
                var read = new List<ConversationRow>();
                foreach (
                    var row in EntryFile
                        .Read(source)
                        .SelectMany(entry =>
                        {
                            entries++;
                            return Rows(shape, entry, source);
                        })
                )
                {
                    read.Add(row with { Conversation = null });
                    problems.AddRange(row.Problems);
                    if (row.Conversation is not { } conversation)
                    {
                        continue;
                    }

                    Conversation styled = new([
                        .. conversation.Messages.Select(message => ToolCall.InStyle(message, calls)),
                    ]);
                    ConversationWriter.WriteLine(file, styled);
                    written++;
                    emptyAnswers += conversation.Messages.Count(IsEmptyAnswer);
                }

                if (problems.Count > 0 && (badRows == BadRows.Error || written == 0))
                {
                    throw DataProblem.Exception(problems);
                }

                if (written == 0)
                {
                    throw new InvalidDataException($"{source}: the file has no entries.");
                }

                report = new ConversionReport(entries, written, problems)
                {
                    EmptyAnswers = emptyAnswers,
                    Notes = RowNotes.Of(source, read),
                };
            }
        );
        return report;
    }

    private static bool IsEmptyAnswer(Message message) => message is { Role: Role.Assistant, Content.Length: 0 };

    private static IReadOnlyList<ConversationRow> Rows(RowShape shape, FileEntry entry, string source)
    {
        ConversationRow Bad(string problem) =>
            new(entry.Place, null, [new DataProblem(source, entry.Place, null, problem)]);
        if (ConversationReader.ParseEntry(entry, out var fault) is not { } value)
        {
            return [Bad(fault!)];
        }

        if (value.ValueKind != JsonValueKind.Object)
        {
            return [Bad($"found {JsonFile.Describe(value)}; expected an object.")];
        }

        try
        {
            return [.. shape.Convert(value, source, entry.Place).Rows.Select(row => WithAnswer(row, source))];
        }
        catch (InvalidDataException e)
        {
            return [Bad(e.Message)];
        }
    }

    // Training refuses a row without an answer.
    private static ConversationRow WithAnswer(ConversationRow row, string source) =>
        row.Conversation is not { } conversation
        || conversation.Messages.Any(message => message is { IsSupervised: true, Content.Length: > 0 })
            ? row
            : row with
            {
                Conversation = null,
                Problems =
                [
                    new DataProblem(
                        source,
                        row.Place,
                        null,
                        conversation.Messages.Any(IsEmptyAnswer)
                            ? "the answer is empty, so there is nothing to train on."
                            : "there is no answer to train on."
                    ),
                ],
            };
}
