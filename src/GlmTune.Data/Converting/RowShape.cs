using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;
using GlmTune.Files.Json;

namespace GlmTune.Data.Converting;

/// <summary>A shape that published data sets have, and how its rows become conversations.</summary>
public abstract class RowShape
{
    /// <summary>All shapes.</summary>
    public static IReadOnlyList<RowShape> All { get; } =
    [
        new AdvertiseGenShape(),
        new MessageListShape("openai"),
        new MessageListShape("sharegpt"),
        new MessageListShape("chatglm3"),
        new AlpacaShape(),
        new QueryShape(),
        new ToolAlpacaShape(),
    ];

    /// <summary>What commands call it.</summary>
    public abstract string Name { get; }

    /// <summary>The shape of that name.</summary>
    /// <exception cref="ArgumentException">There is none; the message lists them.</exception>
    public static RowShape Named(string name) =>
        All.FirstOrDefault(shape => string.Equals(shape.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new ArgumentException(
            $"Unknown format '{name}'; expected one of {string.Join(", ", All.Select(shape => shape.Name))}.",
            nameof(name)
        );

    /// <summary>The conversations of one entry; most shapes have one. Calls of tools are in GLM-4's own
    /// style.</summary>
    /// <param name="entry">An object.</param>
    /// <param name="file">The file, for problems.</param>
    /// <param name="place">Where the entry is.</param>
    /// <exception cref="InvalidDataException">The entry has another shape; the message says what was found.</exception>
    public abstract ConvertedEntry Convert(JsonElement entry, string file, RowPlace place);

    /// <summary>Reads a row of messages that a shape has put together, as training would.</summary>
    /// <param name="entry">The entry that it was made of.</param>
    /// <param name="used">The entry's keys that are in it; others are refused by name or counted.</param>
    /// <param name="row">The row: <c>messages</c>, and <c>system</c> and <c>tools</c> if there are any.</param>
    /// <param name="file">The file.</param>
    /// <param name="place">Where the entry is.</param>
    private protected static ConversationRow Read(
        JsonElement entry,
        string[] used,
        JsonObject row,
        string file,
        RowPlace place
    )
    {
        foreach (var member in entry.EnumerateObject().Where(member => !used.Contains(member.Name)))
        {
            row.TryAdd(member.Name, JsonSerializer.SerializeToNode(member.Value));
        }

        return ConversationReader.Parse(JsonSerializer.SerializeToElement(row), file, place);
    }

    /// <summary>A message as rows have it.</summary>
    private protected static JsonNode Message(string role, string content) =>
        new JsonObject { ["role"] = role, ["content"] = content };

    /// <summary>A string member, or null when it is absent or null.</summary>
    protected static string? OptionalText(JsonElement owner, string key)
    {
        if (!owner.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : throw new InvalidDataException($"'{key}' is {JsonFile.Describe(value)}; expected a string.");
    }

    /// <summary>A string member that must be there.</summary>
    protected static string Text(JsonElement owner, string key) =>
        OptionalText(owner, key)
        ?? throw new InvalidDataException(
            $"no '{key}'; found {string.Join(", ", owner.EnumerateObject().Select(member => $"'{member.Name}'").Take(8))}."
        );

    /// <summary>An array member, or none when it is absent or null.</summary>
    protected static IEnumerable<JsonElement> OptionalArray(JsonElement owner, string key)
    {
        if (!owner.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return [];
        }

        return value.ValueKind == JsonValueKind.Array
            ? value.EnumerateArray()
            : throw new InvalidDataException($"'{key}' is {JsonFile.Describe(value)}; expected an array.");
    }

    /// <summary>The messages of <c>history</c>: pairs of question and answer.</summary>
    private protected static IEnumerable<JsonNode> History(JsonElement entry)
    {
        foreach (var turn in OptionalArray(entry, "history"))
        {
            if (
                turn.ValueKind != JsonValueKind.Array
                || turn.GetArrayLength() != 2
                || turn.EnumerateArray().Any(text => text.ValueKind != JsonValueKind.String)
            )
            {
                throw new InvalidDataException("an entry of 'history' is not a pair of strings, question and answer.");
            }

            yield return Message("user", turn[0].GetString()!);
            yield return Message("assistant", turn[1].GetString()!);
        }
    }
}
