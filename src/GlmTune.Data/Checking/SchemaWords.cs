using System.Text.Json;
using System.Text.RegularExpressions;
using Json.Schema;

namespace GlmTune.Data.Checking;

/// <summary>Describes in plain words how arguments violate a schema.</summary>
/// <param name="schema">The schema.</param>
internal sealed partial class SchemaWords(JsonElement schema)
{
    private const int ValueShown = 40;
    private const string Declared = "what the schema declares";

    private static readonly Dictionary<string, string> Formats = new(StringComparer.Ordinal)
    {
        ["date"] = "a date such as 2024-05-01",
        ["date-time"] = "a date with time such as 2024-05-01T08:00:00Z",
        ["time"] = "a time such as 08:00:00Z",
        ["duration"] = "a duration such as PT1H30M",
        ["uri"] = "an address such as https://example.org/",
        ["email"] = "an e-mail address",
        ["ipv4"] = "an IPv4 address",
        ["ipv6"] = "an IPv6 address",
        ["hostname"] = "a host name",
        ["uuid"] = "a UUID",
    };

    // The parts of a schema that may fail without the whole failing: their own problems say little.
    private static readonly string[] Alternatives = ["anyOf", "oneOf", "not", "if", "contains", "unevaluatedItems"];

    /// <summary>The problems found by an evaluation.</summary>
    /// <param name="results">The results, hierarchical.</param>
    /// <param name="root">The arguments.</param>
    public IEnumerable<string> Describe(EvaluationResults results, JsonElement root)
    {
        if (results.IsValid)
        {
            return [];
        }

        var (name, value) = Locate(results.InstanceLocation.ToString(), root);
        var problems = new List<string>();
        foreach (var (keyword, text) in results.Errors ?? [])
        {
            problems.AddRange(Problems(name, value, results, keyword, text));
        }

        var own = (results.Details ?? []).Where(part => !part.IsValid).ToList();
        foreach (var part in own.Where(part => !Alternatives.Contains(FirstStep(results, part))))
        {
            problems.AddRange(Describe(part, root));
        }

        return problems.Count > 0 ? problems : [$"'{name}' is{Shown(value)}; expected {Types(results, own)}"];
    }

    private IEnumerable<string> Problems(
        string name,
        JsonElement? value,
        EvaluationResults results,
        string keyword,
        string text
    ) =>
        (keyword, LastStep(results)) switch
        {
            (_, "propertyNames") => [$"'{name}' is not an allowed name"],
            ("required" or "dependentRequired", _) => Names(text)
                .Select(key => $"'{(name == "arguments" ? key : $"{name}.{key}")}' is missing"),
            ("", "additionalProperties" or "unevaluatedProperties") => [$"'{name}' is not declared"],
            ("pattern", _) =>
            [
                $"'{name}' is{Shown(value)}; expected text that matches {Pattern(results) ?? "the schema's pattern"}",
            ],
            ("enum" or "const", _) => [$"'{name}' is{Shown(value)}, which is not one of the allowed values"],
            _ => [$"'{name}' is{Shown(value)}; expected {Expected(keyword, text)}"],
        };

    // The library gives a limit only as part of its message.
    private static string Expected(string keyword, string text) =>
        keyword switch
        {
            "type" when LastQuoted().Match(text) is { Success: true } types => string.Join(
                " or ",
                types.Groups[1].Value.Split(", ").Select(Type)
            ),
            "format" when LastQuoted().Match(text) is { Success: true } format => Formats.GetValueOrDefault(
                format.Groups[1].Value,
                Declared
            ),
            "uniqueItems" => "items that are all different",
            "multipleOf" when Number().Match(text) is { Success: true } number => $"a multiple of {number.Value}",
            "minimum"
            or "maximum"
            or "exclusiveMinimum"
            or "exclusiveMaximum" when Limit().Match(text) is { Success: true } limit => $"a number {Of(limit.Value)}",
            "minLength"
            or "maxLength"
            or "minItems"
            or "maxItems"
            or "minProperties"
            or "maxProperties" when Limit().Match(text) is { Success: true } limit => limit.Value
                + (
                    keyword.EndsWith("Length", StringComparison.Ordinal) ? " characters"
                    : keyword.EndsWith("Items", StringComparison.Ordinal) ? " items"
                    : " properties"
                ),
            _ => Declared,
        };

    private static string Of(string limit) => limit.StartsWith("at ", StringComparison.Ordinal) ? $"of {limit}" : limit;

    // The library's location of a schema below "items" leads nowhere.
    private string? Pattern(EvaluationResults results)
    {
        var at = (JsonElement?)schema;
        foreach (var step in Uri.UnescapeDataString(results.SchemaLocation.Fragment.TrimStart('#')).Split('/').Skip(1))
        {
            at = at is { } here ? Below(here, Unescaped(step)) : null;
        }

        return at is { } found && Below(found, "pattern") is { ValueKind: JsonValueKind.String } pattern
            ? pattern.GetString()
            : null;
    }

    // Alternatives that differ only in type, such as an optional value, are told together.
    private static string Types(EvaluationResults results, List<EvaluationResults> failed)
    {
        var types = failed
            .Where(part => FirstStep(results, part) is "anyOf" or "oneOf")
            .Select(part =>
                part.Errors is { Count: 1 } errors && errors.TryGetValue("type", out var text)
                    ? Expected("type", text)
                    : null
            )
            .ToList();
        return types.Count > 0 && types.All(type => type is not null)
            ? string.Join(" or ", types.Distinct())
            : Declared;
    }

    private static string Type(string type) =>
        type switch
        {
            "string" => "a string",
            "number" => "a number",
            "integer" => "a whole number",
            "boolean" => "true or false",
            "array" => "an array",
            "object" => "an object",
            _ => type,
        };

    private static string[] Names(string text) =>
        text.IndexOf('[', StringComparison.Ordinal) is >= 0 and var start
            ? JsonSerializer.Deserialize<string[]>(text[start..(text.LastIndexOf(']') + 1)]) ?? []
            : [];

    private static string LastStep(EvaluationResults results) =>
        results.EvaluationPath.ToString() is var path ? path[(path.LastIndexOf('/') + 1)..] : "";

    private static string FirstStep(EvaluationResults whole, EvaluationResults part) =>
        part.EvaluationPath.ToString()[whole.EvaluationPath.ToString().Length..].TrimStart('/').Split('/')[0];

    // A JSON pointer as people write it: a.b[0].
    private static (string Name, JsonElement? Value) Locate(string pointer, JsonElement root)
    {
        var (name, value) = ("", (JsonElement?)root);
        foreach (var step in pointer.Split('/').Skip(1))
        {
            var key = Unescaped(step);
            name +=
                value is { ValueKind: JsonValueKind.Array } ? $"[{key}]"
                : name.Length == 0 ? key
                : $".{key}";
            value = value is { } here ? Below(here, key) : null;
        }

        return (name.Length == 0 ? "arguments" : name, value);
    }

    private static string Unescaped(string step) =>
        step.Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);

    private static JsonElement? Below(JsonElement value, string key) =>
        value.ValueKind switch
        {
            JsonValueKind.Object when value.TryGetProperty(key, out var member) => member,
            JsonValueKind.Array when int.TryParse(key, out var at) && at >= 0 && at < value.GetArrayLength() => value[
                at
            ],
            _ => null,
        };

    private static string Shown(JsonElement? value)
    {
        var text = value is { } found ? Templates.PythonJson.Write(found, indent: null) : "";
        return text.Length is 0 or > ValueShown ? " something else" : $" {text.Replace('"', '\'')}";
    }

    [GeneratedRegex("\"([^\"]*)\"[^\"]*$")]
    private static partial Regex LastQuoted();

    [GeneratedRegex(@"(at least|at most|greater than|less than) \S+")]
    private static partial Regex Limit();

    [GeneratedRegex(@"\S+$")]
    private static partial Regex Number();
}
