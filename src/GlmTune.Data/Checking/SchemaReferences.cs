using System.Text.Json.Nodes;

namespace GlmTune.Data.Checking;

/// <summary>Finds references that make a schema unsafe to use: to other documents, or in a cycle.</summary>
/// <remarks>A validator would fetch the former, and overflow its stack on the latter, which cannot be caught.</remarks>
internal static class SchemaReferences
{
    private const int MaxSteps = 128;

    /// <summary>What is wrong with a schema's references; null if nothing.</summary>
    public static string? Problem(JsonNode schema)
    {
        var finished = new HashSet<JsonNode>(ReferenceEqualityComparer.Instance);
        foreach (var node in Objects(schema))
        {
            if (
                node["$ref"] is JsonValue value
                && value.TryGetValue(out string? reference)
                && reference != "#"
                && !reference.StartsWith("#/", StringComparison.Ordinal)
            )
            {
                return $"its schema refers to '{reference}'; only references within it (#/…) are supported.";
            }

            if (node["$recursiveRef"] is JsonValue || node["$dynamicRef"] is JsonValue)
            {
                return "its schema uses $recursiveRef or $dynamicRef; only $ref is supported.";
            }

            if (node["$ref"] is JsonValue found && Resolve(found.ToString(), schema) is null)
            {
                return $"its schema is invalid: nothing is at '{found}', to which it refers.";
            }

            if (IsEndless(node, schema, finished, []))
            {
                return "its schema refers to itself in a cycle.";
            }
        }

        return null;
    }

    private static IEnumerable<JsonObject> Objects(JsonNode? node) =>
        node switch
        {
            JsonObject value => value.SelectMany(member => Objects(member.Value)).Prepend(value),
            JsonArray value => value.SelectMany(Objects),
            _ => [],
        };

    // Follows only keywords that apply to the same value; references that descend into the data end with it.
    private static bool IsEndless(JsonNode node, JsonNode root, HashSet<JsonNode> finished, Stack<JsonNode> path)
    {
        if (finished.Contains(node))
        {
            return false;
        }

        if (path.Contains(node) || path.Count > MaxSteps)
        {
            return true;
        }

        path.Push(node);
        var endless = SameValue(node, root).Any(next => IsEndless(next, root, finished, path));
        path.Pop();
        finished.Add(node);
        return endless;
    }

    private static IEnumerable<JsonNode> SameValue(JsonNode node, JsonNode root)
    {
        if (node is not JsonObject schema)
        {
            yield break;
        }

        if (
            schema["$ref"] is JsonValue value
            && value.TryGetValue(out string? reference)
            && Resolve(reference, root) is { } target
        )
        {
            yield return target;
        }

        foreach (var list in (JsonNode?[])[schema["allOf"], schema["anyOf"], schema["oneOf"]])
        {
            foreach (var part in (list as JsonArray ?? []).OfType<JsonObject>())
            {
                yield return part;
            }
        }

        foreach (var key in (string[])["not", "if", "then", "else"])
        {
            if (schema[key] is JsonObject part)
            {
                yield return part;
            }
        }

        foreach (var key in (string[])["dependentSchemas", "dependencies"])
        {
            foreach (var (_, part) in schema[key] as JsonObject ?? [])
            {
                if (part is JsonObject dependent)
                {
                    yield return dependent;
                }
            }
        }
    }

    // A JSON pointer (RFC 6901) after '#'.
    private static JsonNode? Resolve(string reference, JsonNode root)
    {
        JsonNode? node = root;
        foreach (var key in reference.TrimStart('#').Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            var name = Uri.UnescapeDataString(key)
                .Replace("~1", "/", StringComparison.Ordinal)
                .Replace("~0", "~", StringComparison.Ordinal);
            node = node switch
            {
                JsonObject value => value[name],
                JsonArray value when int.TryParse(name, out var index) && index >= 0 && index < value.Count => value[
                    index
                ],
                _ => null,
            };
        }

        return node;
    }
}
