using System.Text.Json;

namespace GlmTune.Files.Json;

/// <summary>A value in a JSON file together with its location, so that its readers can throw errors that say where and
/// what is wrong.</summary>
/// <param name="Path">The file.</param>
/// <param name="Name">The dotted path of keys to the value; empty for the whole file.</param>
/// <param name="Value">The value.</param>
internal readonly record struct JsonPlace(string Path, string Name, JsonElement Value)
{
    /// <summary>Reads a file that must hold an object.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="JsonFile.Read"/>.</exception>
    public static JsonPlace ReadObject(string path) => new(path, "", JsonFile.ReadObject(path));

    /// <summary>The value of a required key.</summary>
    /// <exception cref="InvalidDataException">This is not an object, or the key is missing.</exception>
    public JsonPlace this[string key] =>
        Find(key) ?? throw new InvalidDataException($"{Path}: '{Under(key)}' is missing.");

    /// <summary>The value of a key; null if it is missing or null.</summary>
    /// <exception cref="InvalidDataException">This is not an object.</exception>
    public JsonPlace? Find(string key) =>
        Require(JsonValueKind.Object).TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null
            ? new JsonPlace(Path, Under(key), value)
            : null;

    /// <summary>The keys and values of an object.</summary>
    /// <exception cref="InvalidDataException">This is not an object.</exception>
    public IEnumerable<(string Key, JsonPlace Value)> Properties()
    {
        foreach (var property in Require(JsonValueKind.Object).EnumerateObject())
        {
            yield return (property.Name, new JsonPlace(Path, Under(property.Name), property.Value));
        }
    }

    /// <summary>The items of an array.</summary>
    /// <exception cref="InvalidDataException">This is not an array.</exception>
    public IEnumerable<JsonPlace> Items()
    {
        var index = 0;
        foreach (var item in Require(JsonValueKind.Array).EnumerateArray())
        {
            yield return new JsonPlace(Path, $"{Name}[{index++}]", item);
        }
    }

    /// <summary>The value as a string.</summary>
    /// <exception cref="InvalidDataException">This is not a string.</exception>
    public string Text() => Require(JsonValueKind.String).GetString()!;

    /// <summary>The value as a whole number.</summary>
    /// <exception cref="InvalidDataException">This is not a whole number, or does not fit 64 bits.</exception>
    public int Whole() =>
        Value.ValueKind == JsonValueKind.Number && Value.TryGetInt32(out var number)
            ? number
            : throw Wrong("a whole number");

    /// <summary>An exception that says what was found here and what was expected.</summary>
    /// <param name="expected">What was expected, with its article.</param>
    public InvalidDataException Wrong(string expected) =>
        new($"{Path}: {(Name.Length == 0 ? "the file" : $"'{Name}'")} is {Shown()}; expected {expected}.");

    private JsonElement Require(JsonValueKind kind) =>
        Value.ValueKind == kind ? Value : throw Wrong(JsonFile.Describe(kind));

    private string Shown() =>
        Value.ValueKind is JsonValueKind.Number or JsonValueKind.String && Value.GetRawText() is { Length: <= 40 } raw
            ? raw
            : JsonFile.Describe(Value);

    private string Under(string key) => Name.Length == 0 ? key : $"{Name}.{key}";
}
