using System.Text.Json;
using GlmTune.Files.Json;

namespace GlmTune.Data.Conversations;

/// <summary>The state of reading one row: its problems and notes so far.</summary>
internal sealed class RowReading(string file, RowPlace place)
{
    public List<DataProblem> Problems { get; } = [];

    /// <summary>Ignored keys that have no effect.</summary>
    public HashSet<string> IgnoredKeys { get; } = new(StringComparer.Ordinal);

    public HashSet<string> Notes { get; } = new(StringComparer.Ordinal);

    public void Problem(int? message, string text) => Problems.Add(new DataProblem(file, place, message, text));

    public ConversationRow Result(Conversation? conversation) =>
        new(place, Problems.Count == 0 ? conversation : null, Problems) { IgnoredKeys = IgnoredKeys, Notes = Notes };

    /// <summary>Refuses, or counts, each key that is not read.</summary>
    /// <param name="owner">The row or message.</param>
    /// <param name="message">Index of the message; null for the row.</param>
    /// <param name="read">The keys that are read.</param>
    /// <param name="refusal">Returns why a key is refused; null if it has no effect.</param>
    public void CheckKeys(JsonElement owner, int? message, string[] read, Func<string, string?> refusal)
    {
        foreach (var member in owner.EnumerateObject())
        {
            if (IsOneOf(member, read) || IsEmpty(member.Value))
            {
                continue;
            }

            if (refusal(member.Name) is { } reason)
            {
                Problem(message, $"'{member.Name}': {reason}");
            }
            else if (
                read.FirstOrDefault(key => key.Equals(member.Name, StringComparison.OrdinalIgnoreCase)) is { } near
            )
            {
                Problem(message, $"'{member.Name}' is not a known key; write '{near}'.");
            }
            else
            {
                IgnoredKeys.Add(message is null ? member.Name : $"messages.{member.Name}");
            }
        }
    }

    /// <summary>The value of a key; null if it is missing or empty.</summary>
    public static JsonElement? Optional(JsonElement owner, string key) =>
        owner.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    /// <summary>Which of two keys with one meaning an object has; both are a problem unless their values are
    /// equal.</summary>
    public string OneOf(JsonElement owner, int? message, string key, string other)
    {
        if (Optional(owner, key) is { } first && Optional(owner, other) is { } second)
        {
            if (!JsonElement.DeepEquals(first, second))
            {
                Problem(message, $"both '{key}' and '{other}', with different values. Keep one of them.");
            }

            return key;
        }

        return
            owner.TryGetProperty(key, out var value)
            && (value.ValueKind != JsonValueKind.Null || !owner.TryGetProperty(other, out _))
            ? key
            : other;
    }

    public static string Keys(JsonElement row)
    {
        var names = row.EnumerateObject().Select(property => $"'{property.Name}'").Take(8).ToList();
        return names.Count == 0 ? "an empty object" : string.Join(", ", names);
    }

    /// <summary>Parses JSON text inside a string.</summary>
    public JsonElement? Inner(string text, int? message, string what)
    {
        if (JsonFile.TryParse(text, out var value) is not { } fault)
        {
            return value;
        }

        Problem(message, $"{what} is a string that is not valid JSON: {fault.Text}");
        return null;
    }

    // Without making a string of each name.
    private static bool IsOneOf(JsonProperty member, string[] names)
    {
        foreach (var name in names)
        {
            if (member.NameEquals(name))
            {
                return true;
            }
        }

        return false;
    }

    private static bool IsEmpty(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Null => true,
            JsonValueKind.String => value.GetString()!.Length == 0,
            JsonValueKind.Array => value.GetArrayLength() == 0,
            JsonValueKind.Object => !value.EnumerateObject().Any(),
            _ => false,
        };
}
