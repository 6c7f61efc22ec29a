using System.Numerics;
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
    private const int MostDepth = 200;
    private const int MostWays = 256; // Of branches of several unions that hold at once.
    private const int MostCounted = 20_000; // Members that may come times the numbers of them that are told apart.
    private const int MostNamePatterns = 3;
    private const int UsualPlaces = 15; // Decimals of a double.
    private const int MostMultiple = int.MaxValue;

    private readonly JsonGrammar json;
    private readonly ByteGrammar grammar;
    private readonly SchemaDocument document;
    private readonly SchemaOverlap overlap;
    private readonly TextGrammar texts;
    private readonly Dictionary<string, int> rules = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TextMachine> machines = new(StringComparer.Ordinal);
    private string? nothing;
    private int depth;

    public JsonSchemaGrammar(JsonGrammar json, JsonElement root)
    {
        (this.json, grammar, document, texts) = (
            json,
            json.Grammar,
            new SchemaDocument(root, json.Grammar.Spend),
            new TextGrammar(json)
        );
        overlap = new SchemaOverlap(document, grammar.Spend);
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
                    nothing ?? "schema #: no value of it ever ends, because it requires itself"
                );
        }
        catch (Exception e) when (e is InvalidOperationException or JsonException)
        {
            throw document.Root.Wrong("a text in it holds half of a surrogate pair, which is no character");
        }
    }

    // A value that several schemas allow. Heads are rules that were entered since the last byte; coming back to one
    // would never end.
    private int Value(IReadOnlyList<SchemaPart> parts, int next, string[] heads)
    {
        if (++depth > MostDepth)
        {
            throw parts[0].Wrong($"nested deeper than {MostDepth} levels, references included");
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

    private int Nothing(SchemaShape shape, string reason) => Nothing($"schema {shape.Path}: {reason}");

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
            if (ways.Count > MostWays)
            {
                throw part.Wrong($"unions that hold at once have more than {MostWays} combinations");
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

    // Without white space, and characters as they are.
    private static string Written(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => PythonJson.Quote(value.GetString()!),
            JsonValueKind.Array => $"[{string.Join(',', value.EnumerateArray().Select(Written))}]",
            JsonValueKind.Object =>
                $"{{{string.Join(',', value.EnumerateObject().GroupBy(member => member.Name, (_, same) => same.Last()).Select(member => $"{PythonJson.Quote(member.Name)}:{Written(member.Value)}"))}}}",
            _ => value.GetRawText(),
        };

    // Whether a listed value is what the other keywords allow.
    private bool Fits(JsonElement value, SchemaShape shape)
    {
        if (!shape.Allows(SchemaShape.TypeOf(value)))
        {
            return false;
        }

        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                var text = value.GetString()!;
                var length = text.EnumerateRunes().Count();
                return length >= shape.LeastLength
                    && length <= shape.MostLength
                    && Machines(shape).All(machine => machine.Takes(text));
            case JsonValueKind.Number:
                if (shape.Least.Count + shape.Most.Count + shape.Multiples.Count == 0)
                {
                    return true;
                }

                return NumberRounds.Exactly(value.GetRawText()) is { } number
                    && Limits(shape, false, number.Places) is var limits
                    && Scaled(number, limits.Places) is { } scaled
                    && scaled >= limits.Least
                    && scaled <= limits.Most
                    && scaled % limits.Multiple == 0;
            case JsonValueKind.Object when shape.Objects.Count + shape.Required.Count + shape.PropertyNames.Count > 0:
            case JsonValueKind.Array
                when shape.Arrays.Count > 0
                    || shape.UniqueItems
                    || shape.LeastItems > 0
                    || shape.MostItems < ByteGrammar.Unbounded:
                throw new ArgumentException(
                    $"schema {shape.Path}: an object or list in const or enum is not supported beside keywords of its "
                        + "members"
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
                        "object" => Object(shape, next),
                        "array" => Array(shape, next),
                        "string" => String(shape, next),
                        "integer" or "number" => Number(shape, isInteger: type == "integer", next),
                        "boolean" => grammar.Choice(json.Literal("true", next), json.Literal("false", next)),
                        _ => json.Literal("null", next),
                    }
                ),
            ]);

    private int Object(SchemaShape shape, int next)
    {
        var members = Members(shape, out var openNames);
        if (members is null)
        {
            return json.AnyObject(next);
        }

        var (least, most) = (shape.LeastProperties, shape.MostProperties);
        if (least > most)
        {
            return Nothing(shape, "minProperties is above maxProperties");
        }

        // From the last member to the first: what may follow after so many, as far as their number makes a difference.
        var isCounted = least > 0 || most < ByteGrammar.Unbounded;
        var open =
            openNames.Count == 0
                ? null
                : (int?)grammar.Rule(grammar.Choice([.. openNames.Select(names => Open(names, shape))]));
        var counts = isCounted
            ? Math.Max(1, Math.Min(members.Count, Math.Max(least, most == ByteGrammar.Unbounded ? 1 : most)))
            : 1;
        if ((long)counts * members.Count > MostCounted)
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
            var rule = isCounted ? (int?)grammar.Rule(Value(parts, ByteGrammar.End, [])) : null;
            var built = new Dictionary<int, int>();
            var before = new int[counts + 1];
            for (var count = 0; count <= counts; count++)
            {
                var rest = after[Math.Min(count + 1, counts)];
                if (!built.TryGetValue(rest, out var member))
                {
                    built[rest] = member = json.Literal(
                        key,
                        json.Colon(rule is { } known ? grammar.Call(known, rest) : Value(parts, rest, []))
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

    // A member of a name that is not known beforehand.
    private int Open((TextMachine Names, List<SchemaPart> Parts) open, SchemaShape shape)
    {
        var value = json.Colon(Value(open.Parts, ByteGrammar.End, []));
        try
        {
            return texts.String(open.Names, 0, ByteGrammar.Unbounded, value);
        }
        catch (FormatException)
        {
            return Nothing(shape, "no name is left for members");
        }
    }

    // The members that have a name, in order, and the sets of names of others, each with what its values are; null
    // where anything goes.
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
            && shape.LeastProperties == 0
            && shape.MostProperties == ByteGrammar.Unbounded
        )
        {
            return null;
        }

        if (objects.SelectMany(part => part.Patterns.Keys).Distinct(StringComparer.Ordinal).Count() > MostNamePatterns)
        {
            throw new ArgumentException(
                $"schema {shape.Path}: at most {MostNamePatterns} patternProperties are supported"
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
                pattern => Machine(pattern, shape).Takes(name)
            );
            var isRequired = shape.Required.Contains(name);
            var isForbidden = objects.Any(part =>
                part.Additional is { Schema.ValueKind: JsonValueKind.False }
                && !part.Properties.ContainsKey(name)
                && !part.Patterns.Keys.Any(pattern => Machine(pattern, shape).Takes(name))
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

    // What schemas say of one name; whether any of them names it or says what others are.
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
                    .. patterns.Select(pattern => Machine(pattern, shape)),
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

    // What names may be: a set of texts, or a list; neither where any may come.
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
                        .Where(value => value.ValueKind == JsonValueKind.String && Fits(value, names))
                        .Select(value => value.GetString()!),
                ]
            );
        }

        if (names.Empty is not null || !names.Allows("string"))
        {
            return (null, []);
        }

        var all = Machines(names);
        if (names.LeastLength > 0 || names.MostLength < ByteGrammar.Unbounded)
        {
            all.Add(
                Machine(
                    $"^[\\s\\S]{{{Math.Min(names.LeastLength, 10_000)},{(names.MostLength < ByteGrammar.Unbounded ? Math.Min(names.MostLength, 1000) : "")}}}$",
                    names
                )
            );
        }

        return (all.Count == 0 ? null : Intersect(all, names), null);
    }

    private int Array(SchemaShape shape, int next)
    {
        var prefix = shape.Arrays.Count == 0 ? 0 : shape.Arrays.Max(part => part.Prefix.Count);
        var restParts = shape.Arrays.Select(part => part.Rest).OfType<SchemaPart>().ToList();
        var most = shape.MostItems;
        if (
            restParts.Exists(part => part.Schema.ValueKind == JsonValueKind.False)
            || (prefix > 0 && restParts.Count == 0 && shape.LeastItems <= prefix)
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

        var least = shape.HasLeastItems ? shape.LeastItems : Math.Min(prefix, most);
        if (least > most)
        {
            return Nothing(shape, "minItems is above maxItems");
        }

        if (most == 0)
        {
            return grammar.Literal("["u8, json.Space(grammar.Literal("]"u8, next)));
        }

        if (shape.UniqueItems && most > 1)
        {
            return prefix > 0
                ? throw new ArgumentException($"schema {shape.Path}: uniqueItems is not supported beside prefixItems")
                : Distinct(shape, restParts, least, most, next);
        }

        List<SchemaPart> rest = restParts.Count > 0 ? restParts : [new SchemaPart(JsonElement.Parse("true"), "#/true")];
        if (prefix == 0)
        {
            var item = grammar.Declare();
            grammar.Define(item, Value(rest, ByteGrammar.End, []));
            return json.Array(item, least, most, next);
        }

        var close = json.Space(grammar.Literal("]"u8, next));
        var start =
            most <= prefix
                ? close
                : grammar.Repeat(
                    grammar.Rule(json.Comma(Value(rest, ByteGrammar.End, []))),
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
            var value = Value(parts, start, []);
            var written = i == 0 ? json.Space(value) : json.Comma(value);
            start = i >= least ? grammar.Choice(close, written) : written;
        }

        return grammar.Literal("["u8, start);
    }

    private int Distinct(SchemaShape shape, List<SchemaPart> items, int least, int most, int next)
    {
        var values = items.Count == 0 ? null : Finite(items, 0);
        if (values is null || values.Count > DistinctRounds.MostValues)
        {
            throw new ArgumentException(
                $"schema {shape.Path}: uniqueItems is supported where items are among at most "
                    + $"{DistinctRounds.MostValues} known values: enum, const, boolean, null, integers between bounds"
            );
        }

        if (values.Count < least)
        {
            return Nothing(shape, "there are fewer different items than minItems");
        }

        int[] Rules(Func<int, int> place) =>
            [.. values.Select(value => grammar.Rule(place(json.Literal(value, ByteGrammar.End))))];
        var close = json.Space(grammar.Literal("]"u8, next));
        return grammar.Literal(
            "["u8,
            grammar.Repeat(new DistinctRounds(Rules(json.Space), Rules(json.Comma), least, most), close)
        );
    }

    // All values as JSON text; null where they are not listed or too many.
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
            return Different(values.Where(value => Fits(value, shape)).Select(value => Written(value)));
        }

        var all = new List<string>();
        foreach (var type in shape.Types ?? ["object"])
        {
            if (
                type == "integer"
                && Limits(shape, isInteger: true) is var limits
                && limits.Most - limits.Least < DistinctRounds.MostValues * limits.Multiple
            )
            {
                for (var value = limits.Least; value <= limits.Most; value++)
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
        // One more than may be told apart is as good as many.
        var different = new List<string>();
        var elements = new List<JsonElement>();
        foreach (var value in values)
        {
            if (different.Count > DistinctRounds.MostValues)
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

    private int String(SchemaShape shape, int next)
    {
        var (least, most) = (shape.LeastLength, shape.MostLength);
        if (least > most)
        {
            return Nothing(shape, "minLength is above maxLength");
        }

        var known = shape.Formats.Where(StringFormats.Patterns.ContainsKey).ToList();
        if (shape.Patterns.Count + known.Count == 0)
        {
            return json.String(least, most, next);
        }

        // One pattern alone may have any number of states.
        if (shape.Patterns is [var only] && known.Count == 0 && least == 0 && most == ByteGrammar.Unbounded)
        {
            try
            {
                var pattern = Pattern.Read(only);
                return TryMachine(only, pattern) is { } machine
                    ? texts.String(machine, least, most, next)
                    : texts.String(pattern, next);
            }
            catch (FormatException e)
            {
                throw new ArgumentException($"schema {shape.Path}: pattern '{only}' {e.Message}");
            }
        }

        try
        {
            return texts.String(Intersect(Machines(shape), shape), least, most, next);
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"schema {shape.Path}: what pattern and format say together {e.Message}");
        }
    }

    private List<TextMachine> Machines(SchemaShape shape) =>
        [
            .. shape.Patterns.Select(pattern => Machine(pattern, shape)),
            .. shape
                .Formats.Where(StringFormats.Patterns.ContainsKey)
                .Select(format => Machine(StringFormats.Patterns[format], shape)),
        ];

    private TextMachine Intersect(List<TextMachine> all, SchemaShape shape)
    {
        try
        {
            return all.Aggregate((a, b) => a.And(b, grammar.Spend));
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"schema {shape.Path}: what pattern and format say together {e.Message}");
        }
    }

    private TextMachine Machine(string pattern, SchemaShape shape)
    {
        try
        {
            return TryMachine(pattern, Pattern.Read(pattern))
                ?? throw new FormatException("takes too many states beside a length, a format or other names");
        }
        catch (FormatException e)
        {
            throw new ArgumentException($"schema {shape.Path}: pattern '{pattern}' {e.Message}");
        }
    }

    private TextMachine? TryMachine(string text, Pattern pattern)
    {
        if (!machines.TryGetValue(text, out var machine))
        {
            try
            {
                machines[text] = machine = TextMachine.Of(pattern, grammar.Spend);
            }
            catch (FormatException)
            {
                return null;
            }
        }

        return machine;
    }

    private int Number(SchemaShape shape, bool isInteger, int next)
    {
        if (shape.Least.Count + shape.Most.Count + shape.Multiples.Count == 0)
        {
            return isInteger ? json.Integer(next) : json.Number(next);
        }

        var (least, most, places, multiple) = Limits(shape, isInteger);
        if (least > most)
        {
            return Nothing(shape, "minimum is above maximum, or beyond 18 digits");
        }

        var ways = new List<int>();
        var positive = new NumberRounds(grammar, BigInteger.Max(least, 0), most, places, multiple);
        if (positive.HasAny)
        {
            ways.Add(grammar.Repeat(positive, next));
        }

        var negative = new NumberRounds(grammar, BigInteger.Max(-most, 1), -least, places, multiple);
        if (negative.HasAny)
        {
            ways.Add(grammar.Literal("-"u8, grammar.Repeat(negative, next)));
        }

        return ways.Count > 0
            ? grammar.Choice([.. ways])
            : Nothing(shape, "no number between minimum and maximum is a multiple of multipleOf");
    }

    // Bounds and divisor in units of the last decimal that is written.
    private static (BigInteger Least, BigInteger Most, int Places, BigInteger Multiple) Limits(
        SchemaShape shape,
        bool isInteger,
        int atLeast = 0
    )
    {
        var bounds = shape
            .Least.Concat(shape.Most)
            .Select(bound => NumberRounds.Exactly(bound.Number)!.Value.Places)
            .DefaultIfEmpty(0)
            .Max();
        var multiples = shape.Multiples.ConvertAll(text => NumberRounds.Exactly(text)!.Value);
        var fine = multiples.Select(multiple => multiple.Places).Append(atLeast).Max();

        // Whole numbers are multiples of 1.
        var multiple = multiples.Aggregate(
            isInteger ? BigInteger.Pow(10, fine) : BigInteger.One,
            (all, one) => Common(all, one.Digits * BigInteger.Pow(10, fine - one.Places))
        );
        if (multiple > MostMultiple * (isInteger ? BigInteger.Pow(10, fine) : 1))
        {
            throw new ArgumentException(
                $"schema {shape.Path}: multipleOf is supported up to {MostMultiple} units of its last decimal"
            );
        }

        var places =
            isInteger ? 0
            : shape.Multiples.Count > 0 || atLeast > 0 ? fine
            : Math.Min(Math.Max(UsualPlaces, bounds), NumberRounds.MostPlaces);
        multiple = isInteger ? multiple / BigInteger.Pow(10, fine) : multiple;
        var most = BigInteger.Pow(10, NumberRounds.MostDigits + places) - 1;
        var least = -most;
        foreach (var (text, exclusive) in shape.Least)
        {
            least = BigInteger.Max(least, -Floor(text, places, exclusive, sign: -1));
        }

        foreach (var (text, exclusive) in shape.Most)
        {
            most = BigInteger.Min(most, Floor(text, places, exclusive, sign: 1));
        }

        return (least, most, places, multiple);
    }

    private static BigInteger Common(BigInteger a, BigInteger b) => a / BigInteger.GreatestCommonDivisor(a, b) * b;

    // The greatest number of units that is not above a bound, or the same with the signs turned round.
    private static BigInteger Floor(string text, int places, bool exclusive, int sign)
    {
        var (digits, decimals) = NumberRounds.Exactly(text)!.Value;
        digits *= sign;
        if (decimals <= places)
        {
            return (digits * BigInteger.Pow(10, places - decimals)) - (exclusive ? 1 : 0);
        }

        var unit = BigInteger.Pow(10, decimals - places);
        var quotient = BigInteger.DivRem(digits, unit, out var remainder);
        return remainder.Sign < 0 ? quotient - 1 : quotient - (exclusive && remainder.IsZero ? 1 : 0);
    }

    private static BigInteger? Scaled((BigInteger Digits, int Places) number, int places) =>
        number.Places <= places ? number.Digits * BigInteger.Pow(10, places - number.Places) : null;
}
