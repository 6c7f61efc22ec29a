using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files.Json;
using Json.Schema;

namespace GlmTune.Data.Checking;

/// <summary>The schema of a tool's arguments, ready to check them. Thread-safe.</summary>
internal sealed class ArgumentSchema
{
    // What renames a schema or its references: with these gone, "#/…" always means the tool's own schema.
    private static readonly string[] Identities = ["$schema", "$id", "$anchor", "$recursiveAnchor", "$dynamicAnchor"];
    private static readonly string[] Values = ["const", "enum", "default", "examples"];

    private static readonly EvaluationOptions Options = new()
    {
        OutputFormat = OutputFormat.Hierarchical,
        RequireFormatValidation = true,
    };

    private readonly JsonSchema schema;
    private readonly SchemaWords words;

    private ArgumentSchema(JsonElement root, JsonSchema schema) =>
        (this.schema, words) = (schema, new SchemaWords(root));

    /// <summary>Reads a schema.</summary>
    /// <param name="root">The schema; changed by this method.</param>
    /// <returns>The schema, or what is wrong with it.</returns>
    public static (ArgumentSchema? Schema, string? Problem) Of(JsonObject root)
    {
        try
        {
            if (SchemaReferences.Problem(root) is { } problem)
            {
                return (null, problem);
            }

            // Draft 7 and earlier ignore keywords beside "$ref" and know "dependencies". Everything else is read as
            // 2019-09: its tuples are those for which the library reports the right element.
            var draft = root["$schema"] is JsonValue value && value.TryGetValue(out string? name) ? name : "";
            var dialect = draft.Contains("draft-0", StringComparison.Ordinal) ? Dialect.Draft07 : Dialect.Draft201909;
            Normalize(root);
            using var document = JsonDocument.Parse(
                root.ToJsonString(new JsonSerializerOptions { MaxDepth = JsonFile.MaxDepth }),
                new JsonDocumentOptions { MaxDepth = JsonFile.MaxDepth }
            );
            // A registry of its own: in the common one, schemas of one name would collide.
            var options = new BuildOptions { Dialect = dialect, SchemaRegistry = new SchemaRegistry() };
            var element = document.RootElement.Clone();
            return (new ArgumentSchema(element, JsonSchema.Build(element, options)), null);
        }
        catch (Exception e) when (IsBadSchema(e))
        {
            return (null, $"its schema is invalid: {FirstLine(e)}");
        }
    }

    /// <summary>How arguments violate the schema, at most four problems; null if they do not.</summary>
    /// <param name="arguments">A JSON object.</param>
    public string? Mismatch(string arguments)
    {
        try
        {
            using var document = JsonDocument.Parse(arguments);
            var problems = words
                .Describe(schema.Evaluate(document.RootElement, Options), document.RootElement)
                .Distinct()
                .Take(4)
                .ToList();
            return problems.Count == 0 ? null : string.Join("; ", problems) + ".";
        }
        catch (Exception e) when (IsBadSchema(e))
        {
            return $"it cannot be checked: {FirstLine(e)}";
        }
    }

    private static void Normalize(JsonNode? node)
    {
        if (node is JsonArray list)
        {
            foreach (var item in list)
            {
                Normalize(item);
            }
        }

        if (node is not JsonObject schema)
        {
            return;
        }

        // Only text: a property of that name has a schema here.
        foreach (var key in Identities.Where(key => schema[key] is JsonValue))
        {
            schema.Remove(key);
        }

        // 2020-12's tuples in 2019-09's words.
        if (schema["prefixItems"] is JsonArray tuple)
        {
            schema.Remove("prefixItems");
            var rest = schema["items"];
            schema["items"] = tuple.DeepClone();
            if (rest is not null)
            {
                schema["additionalItems"] = rest.DeepClone();
            }
        }

        Limit(schema, "minimum", "exclusiveMinimum");
        Limit(schema, "maximum", "exclusiveMaximum");
        foreach (var (key, child) in schema)
        {
            if (!Values.Contains(key))
            {
                Normalize(child);
            }
        }
    }

    // Draft 4 and OpenAPI 3.0: a limit, and whether it is itself excluded.
    private static void Limit(JsonObject schema, string limit, string exclusive)
    {
        if (schema[exclusive]?.GetValueKind() is JsonValueKind.True or JsonValueKind.False)
        {
            var excluded = schema[exclusive]!.GetValue<bool>();
            schema.Remove(exclusive);
            if (excluded && schema[limit] is { } number)
            {
                schema.Remove(limit);
                schema[exclusive] = number;
            }
        }
    }

    // The library throws whatever its readers do.
    private static bool IsBadSchema(Exception e) =>
        e
            is JsonSchemaException
                or RefResolutionException
                or InvalidOperationException
                or ArgumentException
                or FormatException
                or NotSupportedException
                or InvalidCastException
                or OverflowException
                or JsonException;

    private static string FirstLine(Exception e) => e.Message.Split('\n')[0].Trim();
}
