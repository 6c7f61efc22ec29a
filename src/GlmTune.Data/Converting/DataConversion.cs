using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Files;

namespace GlmTune.Data.Converting;

/// <summary>What became of a converted file.</summary>
/// <param name="Entries">Entries of the source.</param>
/// <param name="Conversations">Rows written.</param>
/// <param name="Problems">What is wrong with the entries that were left out.</param>
public sealed record ConversionReport(int Entries, int Conversations, IReadOnlyList<DataProblem> Problems);

/// <summary>Turns data of another shape into the fine-tuning format.</summary>
public static class DataConversion
{
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = 512 };

    /// <summary>Converts a file; the target is replaced only when all is written.</summary>
    /// <param name="shape">The source's shape.</param>
    /// <param name="source">A JSON array, or one object a line.</param>
    /// <param name="target">The jsonl file to write.</param>
    /// <param name="calls">How calls of tools are written; as GLM-4 does unless
    /// <see cref="ToolCallStyle.Json"/>.</param>
    /// <param name="badRows">What is done with entries that have a problem.</param>
    /// <exception cref="InvalidDataException">Entries have problems and the policy is <see cref="BadRows.Error"/>, or
    /// nothing can be converted.</exception>
    public static ConversionReport Convert(
        RowShape shape,
        string source,
        string target,
        ToolCallStyle calls = ToolCallStyle.Native,
        BadRows badRows = BadRows.Error
    )
    {
        var problems = new List<DataProblem>();
        var (entries, written) = (0, 0);
        AtomicFile.Write(
            target,
            file =>
            {
                foreach (var entry in SourceFile.Read(source))
                {
                    entries++;
                    try
                    {
                        using var json = JsonDocument.Parse(entry.Text, Options);
                        if (json.RootElement.ValueKind != JsonValueKind.Object)
                        {
                            throw new InvalidDataException("the entry is not a JSON object.");
                        }

                        foreach (var conversation in shape.Convert(json.RootElement).ToList())
                        {
                            if (BadCall(conversation) is { } call)
                            {
                                problems.Add(
                                    new DataProblem(
                                        source,
                                        entry.Number,
                                        null,
                                        $"the arguments of a call to '{call.Name}' are not a JSON object: "
                                            + $"{Shorten(call.Arguments)}"
                                    )
                                );
                                continue;
                            }

                            ConversationWriter.WriteLine(
                                file,
                                new Conversation([
                                    .. conversation.Messages.Select(message => ToolCall.InStyle(message, calls)),
                                ])
                            );
                            written++;
                        }
                    }
                    catch (InvalidDataException e)
                    {
                        problems.Add(new DataProblem(source, entry.Number, null, e.Message));
                    }
                    catch (Exception e)
                        when (e
                                is JsonException
                                    or InvalidOperationException
                                    or KeyNotFoundException
                                    or IndexOutOfRangeException
                        )
                    {
                        problems.Add(
                            new DataProblem(
                                source,
                                entry.Number,
                                null,
                                $"not valid JSON, or not in the format '{shape.Name}': {e.Message}"
                            )
                        );
                    }
                }

                if (problems.Count > 0 && (badRows == BadRows.Error || written == 0))
                {
                    throw DataProblem.Exception(problems);
                }

                if (written == 0)
                {
                    throw new InvalidDataException($"{source}: the file has no entries.");
                }
            }
        );
        return new ConversionReport(entries, written, problems);
    }

    private static ToolCall? BadCall(Conversation conversation) =>
        conversation.Messages.Select(ToolCall.Read).FirstOrDefault(call => call is not null && !call.HasJsonArguments);

    private static string Shorten(string text) => text.Length <= 100 ? text : $"{text[..100]}…";
}
