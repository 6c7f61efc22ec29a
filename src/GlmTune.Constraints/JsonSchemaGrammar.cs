using System.Text.Json;
using GlmTune.Data.Templates;

namespace GlmTune.Constraints;

/// <summary>A JSON schema as grammar: what it takes is valid JSON of that schema.</summary>
/// <remarks>
/// <para>Taken is what JSON Schema (2020-12, and as far as they differ drafts 4 to 7 and OpenAPI 3.0) says with type,
/// enum, const, anyOf, oneOf, allOf, $ref within the schema; properties, required, additionalProperties,
/// patternProperties, propertyNames, minProperties, maxProperties; items, prefixItems, minItems, maxItems, uniqueItems
/// of known values; minLength, maxLength, pattern, format; minimum and maximum (also exclusive), multipleOf. Keywords
/// beside $ref, anyOf and oneOf hold as well. Whatever else restricts a value is an error; what only describes it is
/// passed over, formats that are not known included.</para>
/// <para>Less than the schema allows is written where it leaves open what is hardly meant: members come in the order of
/// <c>properties</c>, and without <c>additionalProperties</c> no others come, except where there are no properties at
/// all; lists go on after <c>prefixItems</c> only if <c>items</c> is given.</para>
/// </remarks>
internal sealed class JsonSchemaGrammar
{
    // References add to the nesting of the text, so that its own limit is not enough.
    private const int MaxDepth = 200;
    private const int MaxWays = 256; // Of branches of several unions that hold at once.

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

    /// <summary>A value of the whole schema.</summary>
    /// <exception cref="ArgumentException">It has something that cannot be kept to, or allows no value; the message
    /// names the place.</exception>
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

    /// <summary>A value that several schemas allow, after at least one byte of its own surroundings.</summary>
    public int Value(IReadOnlyList<SchemaPart> parts, int next) => Value(parts, next, []);

    // A value that several schemas allow. Heads are rules that were entered since the last byte; coming back to one
    // would never end.
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

    // The same parts together are built once, which also ends recursion.
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

    /// <summary>What takes no value; the first such reason is the error where the whole schema allows none.</summary>
    public int Nothing(SchemaShape shape, string reason) => Nothing($"schema {shape.Path}: {reason}");

    private int Union(SchemaShape shape, List<SchemaPart> flat, int next, string[] heads)
    {
        // What stands beside the branches holds in each.
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

    // Without parts that say nothing, a branch that is a reference stays one.
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

    /// <summary>A value as JSON without white space, characters as they are.</summary>
    public static string Written(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => PythonJson.Quote(value.GetString()!),
            JsonValueKind.Array => $"[{string.Join(',', value.EnumerateArray().Select(Written))}]",
            JsonValueKind.Object =>
                $"{{{string.Join(',', value.EnumerateObject().GroupBy(member => member.Name, (_, same) => same.Last()).Select(member => $"{PythonJson.Quote(member.Name)}:{Written(member.Value)}"))}}}",
            _ => value.GetRawText(),
        };

    /// <summary>Whether a listed value is what the other keywords allow.</summary>
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
