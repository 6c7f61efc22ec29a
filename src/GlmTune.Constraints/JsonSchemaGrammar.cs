using System.Text.Json;
using GlmTune.Data.Templates;

namespace GlmTune.Constraints;

/// <summary>A JSON schema as a grammar: every accepted text is valid JSON that matches the schema.</summary>
/// <remarks><para>Supported from JSON Schema (2020-12; where they differ, also drafts 4 to 7 and OpenAPI 3.0): type,
/// enum, const, anyOf, oneOf, allOf, $ref within the schema; properties, required, additionalProperties,
/// patternProperties, propertyNames, minProperties, maxProperties; items, prefixItems, minItems, maxItems, uniqueItems
/// of known values; minLength, maxLength, pattern, format; minimum and maximum (also exclusive), multipleOf. Keywords
/// beside $ref, anyOf and oneOf also apply. Any other keyword that restricts values is an error; keywords that only
/// describe values, and unknown formats, are ignored.</para>
/// <para>In some respects the grammar accepts less than the schema: members must be in the order of <c>properties</c>;
/// without <c>additionalProperties</c> there are no other members, unless there are no properties at all; lists
/// continue after <c>prefixItems</c> only if <c>items</c> is given.</para></remarks>
internal sealed class JsonSchemaGrammar
{
    // References add to the nesting of the text, so JSON's own limit is not sufficient.
    private const int MaxDepth = 200;
    private const int MaxWays = 256; // Of branches in several unions that apply at once.

    private readonly JsonGrammar json;
    private readonly ByteGrammar grammar;
    private readonly SchemaDocument document;
    private readonly SchemaOverlap overlap;
    private readonly ObjectRules objects;
    private readonly ArrayRules arrays;
    private readonly StringRules strings;
    private readonly NumberRules numbers;
    private readonly Dictionary<string, int> rules = new(StringComparer.Ordinal);
    private string? nothing;
    private int depth;

    public JsonSchemaGrammar(JsonGrammar json, JsonElement root)
    {
        (this.json, grammar, document) = (json, json.Grammar, new SchemaDocument(root, json.Grammar.Spend));
        overlap = new SchemaOverlap(document, grammar.Spend);
        var texts = new TextGrammar(json);
        strings = new StringRules(this, json, texts);
        numbers = new NumberRules(this, json);
        arrays = new ArrayRules(this, json, document);
        objects = new ObjectRules(this, json, document, strings, texts);
    }

    /// <summary>Builds the rule for a value of the whole schema.</summary>
    /// <exception cref="ArgumentException">The schema contains something that cannot be enforced, or allows no value;
    /// the message says where.</exception>
    public int Value(int next)
    {
        try
        {
            var start = Value([document.Root], next, []);
            return grammar.FindEnding()[start]
                ? start
                : throw new ArgumentException(
                    nothing ?? "schema #: no value is finite, because the schema requires itself"
                );
        }
        catch (Exception e) when (e is InvalidOperationException or JsonException)
        {
            throw document.Root.Wrong("a string in it contains an unpaired surrogate, which is not a character");
        }
    }

    /// <summary>A value that several schemas allow, after at least one byte of surrounding syntax.</summary>
    public int Value(IReadOnlyList<SchemaPart> parts, int next) => Value(parts, next, []);

    // A value that several schemas allow. Heads are the rules entered since the last byte; entering one again would
    // never end.
    private int Value(IReadOnlyList<SchemaPart> parts, int next, string[] heads)
    {
        if (++depth > MaxDepth)
        {
            throw parts[0].Wrong($"nested deeper than {MaxDepth} levels, references included");
        }

        var start =
            parts is [var one] && document.Referred(one) is { } target
                ? Rule(target.Path, [target], one, next, heads)
                : Flat(parts, next, heads);
        depth--;
        return start;
    }

    private int Flat(IReadOnlyList<SchemaPart> parts, int next, string[] heads)
    {
        var flat = document.Flatten(parts);
        grammar.Spend(
            20 + flat.Sum(part => part.Schema.ValueKind == JsonValueKind.Object ? part.Schema.GetPropertyCount() : 0)
        );
        var key = string.Join(" & ", flat.Select(part => part.Id).Order(StringComparer.Ordinal));
        return flat.Count == 0 ? json.Any(next)
            : flat.Count == 1 || heads.LastOrDefault() == key ? Shaped(flat, next, heads)
            : Rule(key, flat, flat[0], next, heads);
    }

    // Each combination of parts is built once, which also ends recursion.
    private int Rule(string key, IReadOnlyList<SchemaPart> parts, SchemaPart from, int next, string[] heads)
    {
        if (heads.Contains(key))
        {
            throw from.Wrong($"$ref '{key}' refers to itself and never ends");
        }

        if (!rules.TryGetValue(key, out var rule))
        {
            rules[key] = rule = grammar.Declare();
            grammar.Define(rule, Value(parts, ByteGrammar.End, [.. heads, key]));
        }

        return grammar.Call(rule, next);
    }

    private int Shaped(List<SchemaPart> flat, int next, string[] heads)
    {
        var shape = new SchemaShape(flat, grammar.Spend);
        return shape.Empty is { } reason ? Nothing(reason)
            : shape.Unions.Count > 0 ? Union(shape, flat, next, heads)
            : shape.Values is not null ? Listed(shape, next)
            : Typed(shape, next);
    }

    private int Nothing(string reason)
    {
        nothing ??= reason;
        return grammar.Choice();
    }

    /// <summary>A rule that accepts nothing. The first reason given becomes the error if the whole schema allows no
    /// value.</summary>
    public int Nothing(SchemaShape shape, string reason) => Nothing($"schema {shape.Path}: {reason}");

    private int Union(SchemaShape shape, List<SchemaPart> flat, int next, string[] heads)
    {
        // Keywords beside the branches apply to each branch.
        List<SchemaPart> beside = [.. flat.Select(part => part with { Bare = true })];
        List<List<SchemaPart>> ways = [beside];
        foreach (var (branches, exclusive, part) in shape.Unions)
        {
            var closed = exclusive
                ? overlap.Exclusive(branches, beside, part)
                : branches.Select(branch => (IReadOnlyList<SchemaPart>)[branch]);
            ways = [.. ways.SelectMany(_ => closed, (way, branch) => (List<SchemaPart>)[.. way, .. branch])];
            if (ways.Count > MaxWays)
            {
                throw part.Wrong($"unions that apply together have more than {MaxWays} combinations");
            }
        }

        return grammar.Choice([.. ways.Select(way => Value(Trimmed(way), next, heads))]);
    }

    // Without empty parts, a branch that is a reference remains a single part.
    private List<SchemaPart> Trimmed(List<SchemaPart> way) =>
        [.. way.Where(part => !part.Bare || document.Flatten([part]).Count > 0)];

    private int Listed(SchemaShape shape, int next)
    {
        var literals = new List<string>();
        foreach (var value in shape.Values!)
        {
            if (Fits(value, shape))
            {
                literals.Add(Written(value));
            }
        }

        return literals.Count > 0
            ? grammar.Choice([.. literals.Distinct().Select(literal => json.Literal(literal, next))])
            : Nothing(shape, "enum must be a list with a value of the type");
    }

    /// <summary>A value as JSON without white space and without escaping letters.</summary>
    public static string Written(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => PythonJson.Quote(value.GetString()!),
            JsonValueKind.Array => $"[{string.Join(',', value.EnumerateArray().Select(Written))}]",
            JsonValueKind.Object => $"{{{string.Join(',', Members(value))}}}",
            _ => value.GetRawText(),
        };

    // Of members with the same name, the last one.
    private static IEnumerable<string> Members(JsonElement value) =>
        value
            .EnumerateObject()
            .GroupBy(member => member.Name, (_, same) => same.Last())
            .Select(member => $"{PythonJson.Quote(member.Name)}:{Written(member.Value)}");

    /// <summary>Whether a listed value satisfies the other keywords.</summary>
    public bool Fits(JsonElement value, SchemaShape shape)
    {
        if (!shape.Allows(SchemaShape.TypeOf(value)))
        {
            return false;
        }

        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                return strings.Fits(value.GetString()!, shape);
            case JsonValueKind.Number:
                return NumberRules.Fits(value.GetRawText(), shape);
            case JsonValueKind.Object when shape.Objects.Count + shape.Required.Count + shape.PropertyNames.Count > 0:
            case JsonValueKind.Array
                when shape.Arrays.Count > 0
                    || shape.UniqueItems
                    || shape.MinItems > 0
                    || shape.MaxItems < ByteGrammar.Unbounded:
                throw new ArgumentException(
                    $"schema {shape.Path}: an object or list in const or enum is not supported together with "
                        + "keywords for its members"
                );
            default:
                return true;
        }
    }

    private int Typed(SchemaShape shape, int next) =>
        shape.Types is null && shape.Formats.Count == 0
            ? json.Any(next)
            : grammar.Choice([
                .. (shape.Types ?? ["object", "array", "string", "number", "boolean", "null"]).Select(type =>
                    type switch
                    {
                        "object" => objects.Build(shape, next),
                        "array" => arrays.Build(shape, next),
                        "string" => strings.Build(shape, next),
                        "integer" or "number" => numbers.Build(shape, isInteger: type == "integer", next),
                        "boolean" => grammar.Choice(json.Literal("true", next), json.Literal("false", next)),
                        _ => json.Literal("null", next),
                    }
                ),
            ]);
}
