using System.Globalization;
using System.Text.Json;
using GlmTune.Data.Templates;

namespace GlmTune.Constraints;

/// <summary>Objects in a schema: properties, required, additionalProperties, patternProperties, propertyNames,
/// minProperties, maxProperties.</summary>
internal sealed class ObjectRules(
    JsonSchemaGrammar schema,
    JsonGrammar json,
    SchemaDocument document,
    StringRules strings,
    TextGrammar texts
)
{
    private const int MaxCounted = 20_000; // Possible members times the counts that are distinguished.
    private const int MaxNamePatterns = 3;

    private readonly ByteGrammar grammar = json.Grammar;

    /// <summary>Builds the rule for an object.</summary>
    public int Build(SchemaShape shape, int next)
    {
        var members = Members(shape, out var openNames);
        if (members is null)
        {
            return json.AnyObject(next);
        }

        var (least, most) = (shape.MinProperties, shape.MaxProperties);
        if (least > most)
        {
            return schema.Nothing(shape, "minProperties is above maxProperties");
        }

        // From the last member to the first: what may follow after a number of members, as far as that number matters.
        var isCounted = least > 0 || most < ByteGrammar.Unbounded;
        var open =
            openNames.Count == 0
                ? null
                : (int?)grammar.Rule(grammar.Choice([.. openNames.Select(names => Open(names, shape))]));
        var counts = isCounted
            ? Math.Max(1, Math.Min(members.Count, Math.Max(least, most == ByteGrammar.Unbounded ? 1 : most)))
            : 1;
        if ((long)counts * members.Count > MaxCounted)
        {
            throw new ArgumentException(
                $"schema {shape.Path}: minProperties or maxProperties is too large for so many properties"
            );
        }

        var close = json.Space(grammar.Literal("}"u8, next));
        var after = Enumerable
            .Range(0, counts + 1)
            .Select(count => AfterAll(open, count, least, most, close))
            .ToArray();
        foreach (var (name, parts, isRequired) in Enumerable.Reverse(members))
        {
            var key = PythonJson.Quote(name);
            var rule = isCounted ? (int?)grammar.Rule(schema.Value(parts, ByteGrammar.End)) : null;
            var built = new Dictionary<int, int>();
            var before = new int[counts + 1];
            for (var count = 0; count <= counts; count++)
            {
                var rest = after[Math.Min(count + 1, counts)];
                if (!built.TryGetValue(rest, out var member))
                {
                    built[rest] = member = json.Literal(
                        key,
                        json.Colon(rule is { } known ? grammar.Call(known, rest) : schema.Value(parts, rest))
                    );
                }

                var written =
                    count >= most ? grammar.Choice()
                    : count == 0 ? json.Space(member)
                    : json.Comma(member);
                before[count] = isRequired ? written : grammar.Choice(written, after[count]);
            }

            after = before;
        }

        return grammar.Literal("{"u8, after[0]);
    }

    private int AfterAll(int? open, int count, int least, int most, int close)
    {
        var (stillLeast, stillMost) = (
            Math.Max(least - count, 0),
            most == ByteGrammar.Unbounded ? most : Math.Max(most - count, 0)
        );
        if (open is not { } member || stillMost == 0)
        {
            return stillLeast == 0 ? close : grammar.Choice();
        }

        if (count > 0)
        {
            return grammar.Repeat(
                grammar.Rule(json.Comma(grammar.Call(member, ByteGrammar.End))),
                stillLeast,
                stillMost,
                close
            );
        }

        var following = grammar.Repeat(
            grammar.Rule(json.Comma(grammar.Call(member, ByteGrammar.End))),
            Math.Max(stillLeast - 1, 0),
            stillMost == ByteGrammar.Unbounded ? stillMost : stillMost - 1,
            close
        );
        var first = json.Space(grammar.Call(member, following));
        return stillLeast > 0 ? first : grammar.Choice(close, first);
    }

    // A member whose name is not known in advance.
    private int Open((TextMachine Names, List<SchemaPart> Parts) open, SchemaShape shape)
    {
        var value = json.Colon(schema.Value(open.Parts, ByteGrammar.End));
        try
        {
            return texts.String(open.Names, 0, ByteGrammar.Unbounded, value);
        }
        catch (FormatException)
        {
            return schema.Nothing(shape, "no name is left for members");
        }
    }

    // The named members in order, and the sets of other names, each with its values; null if anything is allowed.
    private List<(string Name, List<SchemaPart> Parts, bool IsRequired)>? Members(
        SchemaShape shape,
        out List<(TextMachine Names, List<SchemaPart> Parts)> open
    )
    {
        open = [];
        var objects = shape.Objects;
        var saysNothing = objects.Count == 0;
        if (
            saysNothing
            && shape.Required.Count == 0
            && shape.PropertyNames.Count == 0
            && shape.MinProperties == 0
            && shape.MaxProperties == ByteGrammar.Unbounded
        )
        {
            return null;
        }

        if (objects.SelectMany(part => part.Patterns.Keys).Distinct(StringComparer.Ordinal).Count() > MaxNamePatterns)
        {
            throw new ArgumentException(
                $"schema {shape.Path}: at most {MaxNamePatterns} patternProperties are supported"
            );
        }

        var (allNames, listedNames) = Names(shape);
        var names = objects
            .SelectMany(part => part.Properties.Keys)
            .Concat(shape.Required)
            .Concat(listedNames ?? [])
            .Distinct(StringComparer.Ordinal)
            .ToList();
        var members = new List<(string, List<SchemaPart>, bool)>();
        foreach (var name in names)
        {
            grammar.Spend(objects.Count * (10 + name.Length));
            var isNamed = objects.Any(part => part.Properties.ContainsKey(name));
            var (parts, isAllowed) = Of(
                objects,
                part => part.Properties.TryGetValue(name, out var own) ? own : null,
                pattern => strings.Machine(pattern, shape).Takes(name)
            );
            var isRequired = shape.Required.Contains(name);
            var isForbidden = objects.Any(part =>
                part.Additional is { Schema.ValueKind: JsonValueKind.False }
                && !part.Properties.ContainsKey(name)
                && !part.Patterns.Keys.Any(pattern => strings.Machine(pattern, shape).Takes(name))
            );
            if (isForbidden && isRequired && !isNamed)
            {
                throw new ArgumentException(
                    $"schema {shape.Path}: '{name}' is required, but neither named in properties nor allowed by "
                        + "additionalProperties"
                );
            }

            if (isForbidden || allNames?.Takes(name) == false || !(isAllowed || isNamed || isRequired || saysNothing))
            {
                if (isRequired)
                {
                    members.Add(
                        (name, [new SchemaPart(JsonElement.Parse("false"), $"{shape.Path}/properties/{name}")], true)
                    );
                }

                continue;
            }

            members.Add((name, parts, isRequired));
        }

        if (listedNames is null)
        {
            open = OpenNames(shape, names, allNames);
        }

        return members;
    }

    // What the schemas say about one name, and whether any of them mentions it or says what other members are.
    private static (List<SchemaPart> Parts, bool IsAllowed) Of(
        IReadOnlyList<SchemaShape.ObjectPart> objects,
        Func<SchemaShape.ObjectPart, SchemaPart?> own,
        Func<string, bool> matches
    )
    {
        var parts = new List<SchemaPart>();
        foreach (var part in objects)
        {
            var before = parts.Count;
            if (own(part) is { } named)
            {
                parts.Add(named);
            }

            parts.AddRange(part.Patterns.Where(pattern => matches(pattern.Key)).Select(pattern => pattern.Value));
            if (parts.Count == before && part.Additional is { } additional)
            {
                parts.Add(additional);
            }
        }

        return (parts.Count == 0 ? [new SchemaPart(JsonElement.Parse("true"), "#/true")] : parts, parts.Count > 0);
    }

    private List<(TextMachine Names, List<SchemaPart> Parts)> OpenNames(
        SchemaShape shape,
        List<string> names,
        TextMachine? allNames
    )
    {
        var patterns = shape.Objects.SelectMany(part => part.Patterns.Keys).Distinct(StringComparer.Ordinal).ToList();
        var open = new List<(TextMachine, List<SchemaPart>)>();
        for (var matched = 0; matched < 1 << patterns.Count; matched++)
        {
            var isMatched = patterns.Select((_, i) => (matched >> i & 1) == 1).ToArray();
            var (parts, isAllowed) = Of(shape.Objects, _ => null, pattern => isMatched[patterns.IndexOf(pattern)]);
            if (
                (!isAllowed && shape.Objects.Count > 0)
                || parts.Exists(part => part.Schema.ValueKind == JsonValueKind.False)
            )
            {
                continue;
            }

            try
            {
                TextMachine[] all =
                [
                    TextMachine.AllBut(names),
                    .. patterns.Select(pattern => strings.Machine(pattern, shape)),
                    .. allNames is null ? (TextMachine[])[] : [allNames],
                ];
                bool[] wanted = [true, .. isMatched, true];
                open.Add(
                    (
                        all.Length == 1
                            ? all[0]
                            : TextMachine.Product(
                                all,
                                takes => !takes.Where((taken, i) => taken != wanted[i]).Any(),
                                grammar.Spend
                            ),
                        parts
                    )
                );
            }
            catch (FormatException e)
            {
                throw new ArgumentException($"schema {shape.Path}: names of members {e.Message}");
            }
        }

        return open;
    }

    // The allowed names: a set of texts, or a list; neither if any name is allowed.
    private (TextMachine? All, List<string>? Listed) Names(SchemaShape shape)
    {
        var flat = document.Flatten(shape.PropertyNames);
        if (flat.Count == 0)
        {
            return (null, null);
        }

        var names = new SchemaShape(flat, grammar.Spend);
        if (names.Unions.Count > 0)
        {
            throw new ArgumentException($"schema {names.Path}: anyOf and oneOf are not supported for names");
        }

        if (names.Values is { } values)
        {
            return (
                null,
                [
                    .. values
                        .Where(value => value.ValueKind == JsonValueKind.String && schema.Fits(value, names))
                        .Select(value => value.GetString()!),
                ]
            );
        }

        if (names.Empty is not null || !names.Allows("string"))
        {
            return (null, []);
        }

        var all = strings.Machines(names);
        if (names.MinLength > 0 || names.MaxLength < ByteGrammar.Unbounded)
        {
            var max =
                names.MaxLength < ByteGrammar.Unbounded
                    ? Math.Min(names.MaxLength, 1000).ToString(CultureInfo.InvariantCulture)
                    : "";
            all.Add(strings.Machine($"^[\\s\\S]{{{Math.Min(names.MinLength, 10_000)},{max}}}$", names));
        }

        return (all.Count == 0 ? null : strings.Intersect(all, names), null);
    }
}
