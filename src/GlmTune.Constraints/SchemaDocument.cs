using System.Text.Json;

namespace GlmTune.Constraints;

/// <summary>A whole schema, within which references are resolved.</summary>
/// <param name="root">The whole schema.</param>
/// <param name="spend">Counts the work.</param>
internal sealed class SchemaDocument(JsonElement root, Action<int> spend)
{
    private const int MaxChained = 200;

    /// <summary>The whole schema as a part.</summary>
    public SchemaPart Root { get; } = new(root, "#");

    /// <summary>Resolves <c>$ref</c> and <c>allOf</c> of some parts: returns parts without either keyword, leaving out
    /// those that say nothing.</summary>
    /// <exception cref="ArgumentException">A reference is dangling or circular, or a value is not a schema.</exception>
    public List<SchemaPart> Flatten(IEnumerable<SchemaPart> parts)
    {
        var (flat, seen) = (new List<SchemaPart>(), new HashSet<string>(StringComparer.Ordinal));
        foreach (var part in parts)
        {
            Flatten(part, flat, seen, []);
        }

        return flat;
    }

    /// <summary>The target of a part that is only a reference; otherwise the part itself.</summary>
    public SchemaPart? Referred(SchemaPart part) =>
        !part.Bare
        && part.Schema.ValueKind == JsonValueKind.Object
        && part.Schema.TryGetProperty("$ref", out var reference)
        && part.Schema.EnumerateObject().All(keyword => keyword.Name == "$ref" || SchemaShape.Describes(keyword.Name))
            ? Resolve(reference, part)
            : null;

    private void Flatten(SchemaPart part, List<SchemaPart> flat, HashSet<string> seen, string[] heads)
    {
        if (heads.Contains(part.Id))
        {
            throw part.Wrong("a $ref in it refers to itself and never ends");
        }

        if (heads.Length > MaxChained)
        {
            throw part.Wrong($"nested deeper than {MaxChained} levels, references included");
        }

        spend(1 + part.PathWork);
        if (!seen.Add(part.Id) || part.Schema.ValueKind == JsonValueKind.True)
        {
            return;
        }

        if (part.Schema.ValueKind == JsonValueKind.False)
        {
            flat.Add(part);
            return;
        }

        if (part.Schema.ValueKind != JsonValueKind.Object)
        {
            throw part.Wrong("expected an object, or true");
        }

        if (!part.Bare && part.Schema.TryGetProperty("$ref", out var reference))
        {
            Flatten(Resolve(reference, part), flat, seen, [.. heads, part.Id]);
        }

        if (!part.Bare && part.Schema.TryGetProperty("allOf", out var all))
        {
            if (all.ValueKind != JsonValueKind.Array || all.GetArrayLength() == 0)
            {
                throw part.Wrong("allOf must be a list of at least one schema");
            }

            foreach (var (index, one) in all.EnumerateArray().Index())
            {
                Flatten(part.At(one, "allOf", $"{index}"), flat, seen, [.. heads, part.Id]);
            }
        }

        if (
            part
                .Schema.EnumerateObject()
                .Any(keyword =>
                    !SchemaShape.Describes(keyword.Name)
                    && keyword.Name is not ("$ref" or "allOf")
                    && !(part.Bare && keyword.Name is "anyOf" or "oneOf")
                )
        )
        {
            flat.Add(part);
        }
    }

    private SchemaPart Resolve(JsonElement reference, SchemaPart from)
    {
        var pointer = reference.ValueKind == JsonValueKind.String ? reference.GetString()! : "";
        if (pointer != "#" && !pointer.StartsWith("#/", StringComparison.Ordinal))
        {
            throw from.Wrong($"$ref '{pointer}' is not within the schema; expected # or #/$defs/NAME");
        }

        var found = root;
        foreach (var step in pointer.Split('/').Skip(1))
        {
            var name = Uri.UnescapeDataString(step)
                .Replace("~1", "/", StringComparison.Ordinal)
                .Replace("~0", "~", StringComparison.Ordinal);
            found =
                found.ValueKind == JsonValueKind.Object && found.TryGetProperty(name, out var member) ? member
                : found.ValueKind == JsonValueKind.Array
                && int.TryParse(name, out var index)
                && index >= 0
                && index < found.GetArrayLength()
                    ? found[index]
                : throw from.Wrong($"$ref '{pointer}' does not exist");
        }

        return new SchemaPart(found, pointer);
    }
}
