using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>Reads one row of messages, in the fine-tuning format or a related one; collects all its problems.</summary>
/// <remarks>Related formats are those that are unambiguous: OpenAI's <c>tool_calls</c> and parts, ChatGLM3's and
/// ShareGPT's <c>conversations</c>, ms-swift's roles. Every key is either read, refused by name, or, if it has no
/// effect, ignored and counted.</remarks>
internal sealed class ConversationReader
{
    private static readonly string[] Lists = ["messages", "conversations", "conversation"];
    private static readonly string[] Read = [.. Lists, "system", "tools", "functions"];

    private readonly RowReading reading;
    private readonly ToolListReader tools;
    private readonly MessageReader messages;

    private ConversationReader(string file, RowPlace place)
    {
        reading = new RowReading(file, place);
        tools = new ToolListReader(reading);
        messages = new MessageReader(reading, tools);
    }

    public static ConversationRow Parse(FileEntry entry, string file)
    {
        var reader = new ConversationReader(file, entry.Place);
        return reader.reading.Result(reader.Row(entry));
    }

    /// <summary>Reads a row that is already parsed, such as an entry to convert.</summary>
    public static ConversationRow Parse(JsonElement row, string file, RowPlace place)
    {
        var reader = new ConversationReader(file, place);
        return reader.reading.Result(reader.Row(row));
    }

    /// <summary>Parses an entry; null if it is not JSON, with the reason in <paramref name="problem"/>.</summary>
    public static JsonElement? ParseEntry(FileEntry entry, out string? problem)
    {
        problem = entry.Problem;
        if (problem is not null)
        {
            return null;
        }

        if (JsonFile.TryParse(entry.Text, out var value) is not { } fault)
        {
            return value;
        }

        var (line, character) = fault.PlaceIn(entry.Text);
        var where =
            line == 1
                ? $"at character {character}"
                : $"in line {entry.Place.Line + line - 1}, at character {character}";
        problem = $"not valid JSON {where}: {fault.Text}";
        return null;
    }

    private Conversation? Row(FileEntry entry)
    {
        if (ParseEntry(entry, out var problem) is { } value)
        {
            return Row(value);
        }

        reading.Problem(null, problem!);
        return null;
    }

    private Conversation? Row(JsonElement row)
    {
        if (row.ValueKind != JsonValueKind.Object)
        {
            reading.Problem(
                null,
                $"found {JsonFile.Describe(row)}; expected an object with 'messages'. Each row must be one JSON object."
            );
            return null;
        }

        string[] lists = [.. Lists.Where(key => RowReading.Optional(row, key) is not null)];
        if (lists.Length != 1)
        {
            reading.Problem(
                null,
                lists.Length == 0
                    ? $"no 'messages'; found {RowReading.Keys(row)}. {ConvertHint(row)}"
                    : $"found {string.Join(" and ", lists.Select(key => $"'{key}'"))}; expected one of them. "
                        + "Remove the other."
            );
            if (lists.Length == 0)
            {
                return null;
            }
        }

        reading.CheckKeys(row, null, Read, RowKeys.RefusedInRow);
        var list = row.GetProperty(lists[0]);
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
        {
            reading.Problem(
                null,
                $"'{lists[0]}' is {JsonFile.Describe(list)}; expected an array with at least one message."
            );
            return null;
        }

        var beside = Beside(row);
        var turns = new List<Turn>();
        foreach (var (index, message) in list.EnumerateArray().Index())
        {
            turns.AddRange(messages.ReadMessage(message, index, turns.Count == 0 ? null : turns[^1].Message.Role));
        }

        return Assemble(beside, turns);
    }

    // Keys beside the messages that belong to the system message.
    private Message Beside(JsonElement row)
    {
        var system = "";
        if (RowReading.Optional(row, "system") is { } text)
        {
            if (text.ValueKind == JsonValueKind.String)
            {
                system = text.GetString()!;
            }
            else
            {
                reading.Problem(null, $"'system' is {JsonFile.Describe(text)}; expected a string.");
            }
        }

        return new Message(Role.System, system)
        {
            Tools = [.. tools.ReadList(row, "tools", null), .. tools.ReadList(row, "functions", null)],
        };
    }

    private Conversation Assemble(Message beside, List<Turn> turns)
    {
        List<Message> result = [.. ToolResults.InOrder(turns, reading)];
        if (beside.Content.Length == 0 && beside.Tools.Count == 0)
        {
            return new Conversation(result);
        }

        if (result.Count == 0 || result[0].Role != Role.System)
        {
            return new Conversation([beside, .. result]);
        }

        var own = result[0];
        if (beside.Content.Length > 0 && own.Content.Length > 0 && own.Content != beside.Content)
        {
            reading.Problem(null, "'system' beside the messages differs from the system message. Keep one of them.");
        }

        if (beside.Tools.Count > 0 && own.Tools.Count > 0)
        {
            reading.Problem(
                null,
                "tools are declared beside the messages and in the system message. Keep one of them."
            );
        }

        result[0] = own with
        {
            Content = own.Content.Length > 0 ? own.Content : beside.Content,
            Tools = own.Tools.Count > 0 ? own.Tools : beside.Tools,
        };
        return new Conversation(result);
    }

    private static string ConvertHint(JsonElement row)
    {
        bool Has(string key) => row.TryGetProperty(key, out _);
        var shape =
            Has("content") && Has("summary") ? "advertisegen"
            : Converting.QueryShape.Fits(row) ? "ms-swift"
            : Has("instruction") || (Has("input") && Has("output")) ? "alpaca"
            : Has("Instances") || Has("Golden_Answers") ? "toolalpaca"
            : null;
        return shape is null
            ? RowKeys.OfPreference(row)
                ?? (
                    Has("text")
                        ? "A row is {\"messages\": […]}; plain text to train on is the 'content' of one message of the "
                            + "assistant."
                        : "A row is {\"messages\": […]}."
                )
            : $"This looks like another format; use 'glmtune data convert --from {shape}'.";
    }
}
