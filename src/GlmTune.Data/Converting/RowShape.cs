using System.Text.Json;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;

namespace GlmTune.Data.Converting;

/// <summary>A shape that published data sets have, and how its rows become conversations.</summary>
public abstract class RowShape
{
    /// <summary>All shapes.</summary>
    public static IReadOnlyList<RowShape> All { get; } =
    [new AdvertiseGenShape(), new OpenAiShape(), new ShareGptShape(), new AlpacaShape(), new ToolAlpacaShape()];

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
    /// <exception cref="InvalidDataException">The entry has another shape; the message says what was found.</exception>
    public abstract IEnumerable<Conversation> Convert(JsonElement entry);

    /// <summary>A string member, or null when it is absent or null.</summary>
    protected static string? OptionalText(JsonElement owner, string key)
    {
        if (!owner.TryGetProperty(key, out var value) || value.ValueKind == JsonValueKind.Null)
        {
            return null;
        }

        return value.ValueKind == JsonValueKind.String
            ? value.GetString()
            : throw new InvalidDataException($"'{key}' is {Found(value)}; expected a string.");
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
            : throw new InvalidDataException($"'{key}' is {Found(value)}; expected an array.");
    }

    /// <summary>A call in GLM-4's own style; arguments are a JSON text or an object, and are written as GLM-4 saw them:
    /// <c>{"x": [1, 2]}</c>.</summary>
    protected static Message Call(string name, JsonElement arguments) =>
        new(
            Role.Assistant,
            arguments.ValueKind switch
            {
                JsonValueKind.String => Spaced(arguments.GetString()!),
                JsonValueKind.Undefined or JsonValueKind.Null => "{}",
                _ => PythonJson.Write(arguments, indent: null),
            }
        )
        {
            Metadata = name,
        };

    /// <summary>The messages with a system message that declares the tools, in front of all others.</summary>
    protected static Conversation WithTools(
        IReadOnlyList<ToolDefinition> tools,
        string system,
        IEnumerable<Message> messages
    ) =>
        new(
            tools.Count == 0 && system.Length == 0
                ? [.. messages]
                : [new Message(Role.System, system) { Tools = tools }, .. messages]
        );

    /// <summary>How errors call a value's kind.</summary>
    protected static string Found(JsonElement value) => value.ValueKind.ToString().ToLowerInvariant();

    private static string Spaced(string json)
    {
        try
        {
            return PythonJson.Rewrite(json, indent: null);
        }
        catch (JsonException)
        {
            return json;
        }
    }
}
