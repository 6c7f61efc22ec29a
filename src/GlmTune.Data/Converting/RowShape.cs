using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Data.Conversations;
using GlmTune.Files.Json;

namespace GlmTune.Data.Converting;

/// <summary>A format of published data sets, and how its rows are converted to conversations.</summary>
internal abstract class RowShape
{
    /// <summary>All formats.</summary>
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

    /// <summary>The name of the format on the command line.</summary>
    public abstract string Name { get; }

    /// <summary>The format with a given name.</summary>
    /// <exception cref="ArgumentException">There is no such format; the message lists them all.</exception>
    public static RowShape Named(string name) =>
        All.FirstOrDefault(shape => string.Equals(shape.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new ArgumentException(
            $"Unknown format '{name}'; expected one of {string.Join(", ", All.Select(shape => shape.Name))}.",
            nameof(name)
        );

    /// <summary>The conversations of one entry; in most formats there is one. Tool calls are in GLM-4's own
    /// style.</summary>
    /// <param name="entry">An object.</param>
    /// <param name="file">Path of the file, for problems.</param>
    /// <param name="place">Position of the entry.</param>
    /// <exception cref="InvalidDataException">The entry has another format; the message says what was
    /// found.</exception>
    public abstract ConvertedEntry Convert(JsonElement entry, string file, RowPlace place);

    /// <summary>Reads a row of messages built by a converter, with the same code as training.</summary>
    /// <param name="entry">The entry that the row was built from.</param>
    /// <param name="used">The entry's keys used in the row; others are refused by name or counted as ignored.</param>
    /// <param name="row">The row: <c>messages</c>, and <c>system</c> and <c>tools</c> if there are any.</param>
    /// <param name="file">The file.</param>
    /// <param name="place">Position of the entry.</param>
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

    /// <summary>A message in the form that rows use.</summary>
    private protected static JsonNode Message(string role, string content) =>
        new JsonObject { ["role"] = role, ["content"] = content };

    /// <summary>The string value of a key; null if it is missing or null.</summary>
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

    /// <summary>The string value of a required key.</summary>
    protected static string Text(JsonElement owner, string key) =>
        OptionalText(owner, key)
        ?? throw new InvalidDataException(
            $"no '{key}'; found "
                + $"{string.Join(", ", owner.EnumerateObject().Select(member => $"'{member.Name}'").Take(8))}."
        );

    /// <summary>The items of an array; none if the key is missing or null.</summary>
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

    /// <summary>The messages in <c>history</c>: pairs of question and answer.</summary>
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
