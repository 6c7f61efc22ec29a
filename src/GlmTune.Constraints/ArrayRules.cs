using System.Text.Json;

namespace GlmTune.Constraints;

/// <summary>Arrays in a schema: items, prefixItems, minItems, maxItems, uniqueItems.</summary>
internal sealed class ArrayRules(JsonSchemaGrammar schema, JsonGrammar json, SchemaDocument document)
{
    private readonly ByteGrammar grammar = json.Grammar;

    /// <summary>Builds the rule for an array.</summary>
    public int Build(SchemaShape shape, int next)
    {
        var prefix = shape.Arrays.Count == 0 ? 0 : shape.Arrays.Max(part => part.Prefix.Count);
        var restParts = shape.Arrays.Select(part => part.Rest).OfType<SchemaPart>().ToList();
        var most = shape.MaxItems;
        if (
            restParts.Exists(part => part.Schema.ValueKind == JsonValueKind.False)
            || (prefix > 0 && restParts.Count == 0 && shape.MinItems <= prefix)
        )
        {
            most = Math.Min(
                most,
                shape
                    .Arrays.Where(part => part.Rest is { Schema.ValueKind: JsonValueKind.False })
                    .Select(part => part.Prefix.Count)
                    .DefaultIfEmpty(prefix)
                    .Min()
            );
        }

        var least = shape.HasMinItems ? shape.MinItems : Math.Min(prefix, most);
        if (least > most)
        {
            return schema.Nothing(shape, "minItems is above maxItems");
        }

        if (most == 0)
        {
            return grammar.Literal("["u8, json.Space(grammar.Literal("]"u8, next)));
        }

        if (shape.UniqueItems && most > 1)
        {
            return prefix > 0
                ? throw new ArgumentException(
                    $"schema {shape.Path}: uniqueItems is not supported together with prefixItems"
                )
                : Distinct(shape, restParts, least, most, next);
        }

        List<SchemaPart> rest = restParts.Count > 0 ? restParts : [new SchemaPart(JsonElement.Parse("true"), "#/true")];
        if (prefix == 0)
        {
            var item = grammar.Declare();
            grammar.Define(item, schema.Value(rest, ByteGrammar.End));
            return json.Array(item, least, most, next);
        }

        var close = json.Space(grammar.Literal("]"u8, next));
        var start =
            most <= prefix
                ? close
                : grammar.Repeat(
                    grammar.Rule(json.Comma(schema.Value(rest, ByteGrammar.End))),
                    Math.Max(least - prefix, 0),
                    most == ByteGrammar.Unbounded ? most : most - prefix,
                    close
                );
        for (var i = Math.Min(prefix, most) - 1; i >= 0; i--)
        {
            var parts = shape
                .Arrays.Select(part => i < part.Prefix.Count ? part.Prefix[i] : part.Rest)
                .OfType<SchemaPart>()
                .ToList();
            var value = schema.Value(parts, start);
            var written = i == 0 ? json.Space(value) : json.Comma(value);
            start = i >= least ? grammar.Choice(close, written) : written;
        }

        return grammar.Literal("["u8, start);
    }

    private int Distinct(SchemaShape shape, List<SchemaPart> items, int least, int most, int next)
    {
        var values = items.Count == 0 ? null : Finite(items, 0);
        if (values is null || values.Count > DistinctValues.MaxValues)
        {
            throw new ArgumentException(
                $"schema {shape.Path}: uniqueItems is supported only for items with at most "
                    + $"{DistinctValues.MaxValues} possible values: enum, const, boolean, null, integers between "
                    + "bounds"
            );
        }

        if (values.Count < least)
        {
            return schema.Nothing(shape, "there are fewer distinct items than minItems");
        }

        int[] Rules(Func<int, int> place) =>
            [.. values.Select(value => grammar.Rule(place(json.Literal(value, ByteGrammar.End))))];
        var close = json.Space(grammar.Literal("]"u8, next));
        return grammar.Literal(
            "["u8,
            grammar.Repeat(new DistinctValues(Rules(json.Space), Rules(json.Comma), least, most), close)
        );
    }

    // All values as JSON text; null if they are not enumerable or too many.
    private List<string>? Finite(IReadOnlyList<SchemaPart> parts, int level)
    {
        var flat = document.Flatten(parts);
        var shape = new SchemaShape(flat, grammar.Spend);
        if (shape.Empty is not null)
        {
            return [];
        }

        if (shape.Unions is [var (branches, _, _)] && level < 8)
        {
            List<SchemaPart> beside = [.. flat.Select(part => part with { Bare = true })];
            var ways = branches.Select(branch => Finite([.. beside, branch], level + 1)).ToList();
            return ways.Exists(way => way is null) ? null : Different(ways.SelectMany(way => way!));
        }

        if (shape.Unions.Count > 0)
        {
            return null;
        }

        if (shape.Values is { } values)
        {
            return Different(
                values.Where(value => schema.Fits(value, shape)).Select(value => JsonSchemaGrammar.Written(value))
            );
        }

        var all = new List<string>();
        foreach (var type in shape.Types ?? ["object"])
        {
            if (
                type == "integer"
                && NumberRules.Limits(shape, isInteger: true) is var limits
                && limits.Max - limits.Min < DistinctValues.MaxValues * limits.Multiple
            )
            {
                for (var value = limits.Min; value <= limits.Max; value++)
                {
                    if (value % limits.Multiple == 0)
                    {
                        all.Add($"{value}");
                    }
                }
            }
            else if (type is "boolean" or "null")
            {
                all.AddRange(type == "null" ? ["null"] : ["true", "false"]);
            }
            else
            {
                return null;
            }
        }

        return all;
    }

    private static List<string> Different(IEnumerable<string> values)
    {
        // One more than the maximum is enough to know that there are too many.
        var different = new List<string>();
        var elements = new List<JsonElement>();
        foreach (var value in values)
        {
            if (different.Count > DistinctValues.MaxValues)
            {
                break;
            }

            var element = JsonElement.Parse(value);
            if (!elements.Exists(other => JsonElement.DeepEquals(other, element)))
            {
                different.Add(value);
                elements.Add(element);
            }
        }

        return different;
    }
}
