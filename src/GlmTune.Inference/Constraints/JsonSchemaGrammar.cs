using System.Text.Encodings.Web;
using System.Text.Json;

namespace GlmTune.Inference;

/// <summary>A JSON schema as grammar: what it takes is valid JSON of that schema.</summary>
/// <remarks>
/// Taken: type (one or several), properties, required, additionalProperties, items, minItems, maxItems, enum, const, anyOf, allOf of one, $ref within
/// the schema, minLength, maxLength, pattern, minimum and maximum (also exclusive) of integers. Members come in the order of <c>properties</c>; without
/// <c>additionalProperties</c> no others come, except where there is no <c>properties</c> at all. Whatever else restricts a value is an error; what only describes
/// it is passed over, <c>format</c> included unless it is one of a few.
/// </remarks>
internal sealed class JsonSchemaGrammar
{
    private const long MostInteger = 999_999_999_999_999_999;
    private const int MostDepth = 200;      // References add to the nesting of the text, so that its own limit is not enough.
    private const int MostNameLength = 200;
    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private static readonly HashSet<string> Descriptions =
    [
        "title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "deprecated", "readOnly", "writeOnly",
        "contentMediaType", "contentEncoding", "format", "strict", "discriminator", "nullable",
    ];

    private static readonly Dictionary<string, string> FormatPatterns = new()
    {
        ["date"] = Date,
        ["time"] = Time,
        ["date-time"] = $"{Date}T{Time}",
        ["uuid"] = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ["ipv4"] = @"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)",
        ["email"] = @"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+",
    };

    private const string Date = @"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])";
    private const string Time = @"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)";

    private readonly JsonGrammar json;
    private readonly ByteGrammar grammar;
    private readonly JsonElement root;
    private readonly Dictionary<string, int> references = [];
    private int depth;

    public JsonSchemaGrammar(JsonGrammar json, JsonElement root) => (this.json, grammar, this.root) = (json, json.Grammar, root);

    /// <summary>A value of the whole schema.</summary>
    /// <exception cref="ArgumentException">It has something that cannot be kept to; the message names the place.</exception>
    public int Value(int next)
    {
        try
        {
            return Value(root, "#", next, []);
        }
        catch (Exception e) when (e is InvalidOperationException or JsonException)
        {
            throw Wrong("#", "a text in it holds half of a surrogate pair, which is no character");
        }
    }

    private static ArgumentException Wrong(string path, string problem) => new($"schema {path}: {problem}");

    // Heads are references that were followed since the last byte; coming back to one would never end.
    private int Value(JsonElement schema, string path, int next, string[] heads)
    {
        if (schema.ValueKind == JsonValueKind.True)
        {
            return json.Any(next);
        }

        if (schema.ValueKind != JsonValueKind.Object)
        {
            throw Wrong(path, schema.ValueKind == JsonValueKind.False ? "false allows no value" : "expected an object, or true");
        }

        if (++depth > MostDepth)
        {
            throw Wrong(path, $"nested deeper than {MostDepth} levels, references included");
        }

        var keywords = new Keywords(schema, path);
        var start = keywords.Find("$ref") is { } reference ? Reference(keywords, reference, next, heads)
            : keywords.Find("allOf") is { } all ? AllOf(keywords, all, next, heads)
            : keywords.Find("anyOf") is { } any ? AnyOf(keywords, any, next, heads)
            : keywords.Find("const") is { } constant ? Constant(keywords, constant, next)
            : keywords.Find("enum") is { } values ? OneOf(keywords, values, next)
            : Typed(keywords, next);
        keywords.CheckAllUsed();
        depth--;
        return start;
    }

    private int Reference(Keywords keywords, JsonElement reference, int next, string[] heads)
    {
        var pointer = reference.ValueKind == JsonValueKind.String ? reference.GetString()! : "";
        if (heads.Contains(pointer))
        {
            throw Wrong(keywords.Path, $"$ref '{pointer}' refers to itself and never ends");
        }

        if (!references.TryGetValue(pointer, out var rule))
        {
            references[pointer] = rule = grammar.Declare();
            grammar.Define(rule, Value(Resolve(pointer, keywords.Path), pointer, ByteGrammar.End, [.. heads, pointer]));
        }

        return grammar.Call(rule, next);
    }

    private JsonElement Resolve(string pointer, string path)
    {
        if (pointer != "#" && !pointer.StartsWith("#/", StringComparison.Ordinal))
        {
            throw Wrong(path, $"$ref '{pointer}' is not within the schema; expected # or #/$defs/NAME");
        }

        var found = root;
        foreach (var step in pointer.Split('/').Skip(1))
        {
            var name = Uri.UnescapeDataString(step).Replace("~1", "/", StringComparison.Ordinal).Replace("~0", "~", StringComparison.Ordinal);
            found = found.ValueKind == JsonValueKind.Object && found.TryGetProperty(name, out var member) ? member
                : found.ValueKind == JsonValueKind.Array && int.TryParse(name, out var index) && index >= 0 && index < found.GetArrayLength() ? found[index]
                : throw Wrong(path, $"$ref '{pointer}' leads nowhere");
        }

        return found;
    }

    private int AllOf(Keywords keywords, JsonElement all, int next, string[] heads) =>
        all.ValueKind == JsonValueKind.Array && all.GetArrayLength() == 1 ? Value(all[0], $"{keywords.Path}/allOf/0", next, heads)
            : throw Wrong(keywords.Path, "allOf is supported with one schema only");

    private int AnyOf(Keywords keywords, JsonElement any, int next, string[] heads)
    {
        if (any.ValueKind != JsonValueKind.Array || any.GetArrayLength() == 0)
        {
            throw Wrong(keywords.Path, "anyOf must be a list of at least one schema");
        }

        keywords.Pass("type");   // Often repeated beside anyOf.
        return grammar.Choice([.. any.EnumerateArray().DistinctBy(way => way.GetRawText()).Index()
            .Select(way => Value(way.Item, $"{keywords.Path}/anyOf/{way.Index}", next, heads))]);
    }

    private int Constant(Keywords keywords, JsonElement constant, int next)
    {
        keywords.Pass("type");
        return json.Literal(JsonSerializer.Serialize(constant, Relaxed), next);
    }

    private int OneOf(Keywords keywords, JsonElement values, int next)
    {
        var types = keywords.Types();
        var literals = values.ValueKind != JsonValueKind.Array ? []
            : values.EnumerateArray().Where(value => types.Count == 0 || types.Contains(TypeOf(value)) || (TypeOf(value) == "integer" && types.Contains("number")))
                .Select(value => JsonSerializer.Serialize(value, Relaxed)).Distinct().ToList();
        return literals.Count > 0 ? grammar.Choice([.. literals.Select(literal => json.Literal(literal, next))])
            : throw Wrong(keywords.Path, "enum must be a list with a value of the type");
    }

    private static string TypeOf(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => "string",
        JsonValueKind.Number => value.TryGetInt64(out _) ? "integer" : "number",
        JsonValueKind.True or JsonValueKind.False => "boolean",
        JsonValueKind.Null => "null",
        JsonValueKind.Array => "array",
        _ => "object",
    };

    private int Typed(Keywords keywords, int next)
    {
        var types = keywords.Types();
        if (types.Count == 0)
        {
            types = keywords.Has("properties") || keywords.Has("required") || keywords.Has("additionalProperties") ? ["object"]
                : keywords.Has("items") || keywords.Has("minItems") || keywords.Has("maxItems") ? ["array"]
                : keywords.Has("pattern") || keywords.Has("minLength") || keywords.Has("maxLength") ? ["string"]
                : [];
        }

        if (types.Contains("number"))
        {
            types.Remove("integer");   // Numbers are these as well; bounds of theirs must not hold for whole ones alone.
        }

        return types.Count == 0 ? json.Any(next) : grammar.Choice([.. types.Select(type => type switch
        {
            "object" => Object(keywords, next),
            "array" => Array(keywords, next),
            "string" => String(keywords, next),
            "integer" => Integer(keywords, next),
            "number" => json.Number(next),
            "boolean" => grammar.Choice(json.Literal("true", next), json.Literal("false", next)),
            "null" => json.Literal("null", next),
            _ => throw Wrong(keywords.Path, $"type '{type}' is none of object, array, string, integer, number, boolean, null"),
        })]);
    }

    private int Object(Keywords keywords, int next)
    {
        var properties = keywords.Find("properties") is { } found
            ? found.ValueKind == JsonValueKind.Object ? found.EnumerateObject().DistinctBy(property => property.Name).Select(property => (property.Name, Schema: (JsonElement?)property.Value)).ToList()
                : throw Wrong(keywords.Path, "properties must be an object")
            : [];
        var required = keywords.Strings("required").ToHashSet(StringComparer.Ordinal);
        var named = properties.Select(property => property.Name).ToHashSet(StringComparer.Ordinal);
        var unnamed = required.Where(name => !named.Contains(name)).ToList();
        var additional = keywords.Find("additionalProperties");
        var closed = additional is { ValueKind: JsonValueKind.False };
        if (closed && unnamed is [var missing, ..])
        {
            throw Wrong(keywords.Path, $"'{missing}' is required, but neither named in properties nor allowed by additionalProperties");
        }

        properties.AddRange(unnamed.Select(name => (name, (JsonElement?)null)));
        if (properties.Count == 0 && additional is null && !keywords.Has("properties"))
        {
            return json.AnyObject(next);
        }

        var close = json.Space(grammar.Literal("}"u8, next));
        var (first, later) = (close, close);   // What may follow: before any member, after one.
        if (additional is { } others && !closed)
        {
            if (properties.Exists(property => property.Name.Length > MostNameLength))
            {
                throw Wrong(keywords.Path, $"beside additionalProperties, names of properties have at most {MostNameLength} characters");
            }

            var other = grammar.Rule(OtherKey([.. properties.Select(property => property.Name)], json.Colon(Value(others, $"{keywords.Path}/additionalProperties", ByteGrammar.End, []))));
            later = grammar.Repeat(grammar.Rule(json.Comma(grammar.Call(other, ByteGrammar.End))), 0, ByteGrammar.Unbounded, close);
            first = grammar.Choice(close, json.Space(grammar.Call(other, later)));
        }

        foreach (var (name, schema) in Enumerable.Reverse(properties))
        {
            var path = $"{keywords.Path}/properties/{name}";
            var member = json.Literal(JsonSerializer.Serialize(name, Relaxed), json.Colon(schema is { } of ? Value(of, path, later, []) : json.Any(later)));
            var (whenFirst, whenLater) = (json.Space(member), json.Comma(member));
            (first, later) = required.Contains(name) ? (whenFirst, whenLater) : (grammar.Choice(whenFirst, first), grammar.Choice(whenLater, later));
        }

        return grammar.Literal("{"u8, first);
    }

    // A key that is none of some: it leaves their common beginnings somewhere. Without escapes, which could spell one of them.
    private int OtherKey(string[] names, int next)
    {
        var character = grammar.Rule(grammar.Byte(ByteSet.Range(' ', 0x7E) - ByteSet.AnyOf("\"\\"), ByteGrammar.End));
        var end = grammar.Literal("\""u8, next);
        var free = grammar.Repeat(character, 0, ByteGrammar.Unbounded, end);
        int After(byte[][] rest, int depth)
        {
            var going = rest.Where(name => name.Length > depth).GroupBy(name => name[depth]).ToList();
            var others = going.Aggregate(ByteSet.Range(' ', 0x7E) - ByteSet.AnyOf("\"\\"), (set, group) => set - ByteSet.Of(group.Key));
            int[] ways =
            [
                grammar.Byte(others, free),
                .. going.Where(group => group.Key is >= (byte)' ' and <= 0x7E and not ((byte)'"' or (byte)'\\')).Select(group => grammar.Byte(ByteSet.Of(group.Key), After([.. group], depth + 1))),
            ];
            return rest.Any(name => name.Length == depth) ? grammar.Choice(ways) : grammar.Choice([end, .. ways]);
        }

        return grammar.Literal("\""u8, After([.. names.Select(System.Text.Encoding.UTF8.GetBytes)], 0));
    }

    private int Array(Keywords keywords, int next)
    {
        var (least, most) = keywords.Bounds("minItems", "maxItems");
        var item = grammar.Declare();
        grammar.Define(item, keywords.Find("items") is { } items ? Value(items, $"{keywords.Path}/items", ByteGrammar.End, []) : json.Any(ByteGrammar.End));
        return json.Array(item, least, most, next);
    }

    private int String(Keywords keywords, int next)
    {
        var (least, most) = keywords.Bounds("minLength", "maxLength");
        var pattern = keywords.Find("pattern") is { } given
            ? given.ValueKind == JsonValueKind.String ? given.GetString() : throw Wrong(keywords.Path, "pattern must be a string")
            : null;
        var format = keywords.Find("format") is { ValueKind: JsonValueKind.String } named ? FormatPatterns.GetValueOrDefault(named.GetString()!) : null;
        if (pattern is null && format is null)
        {
            return json.String(least, most, next);
        }

        if (least > 0 || most < ByteGrammar.Unbounded || (pattern is not null && format is not null))
        {
            throw Wrong(keywords.Path, "pattern, format and a length are supported one at a time");
        }

        try
        {
            return new PatternGrammar(json).String(pattern ?? $"^{format}$", next);
        }
        catch (FormatException e)
        {
            throw Wrong(keywords.Path, $"pattern '{pattern}' {e.Message}");
        }
    }

    private int Integer(Keywords keywords, int next)
    {
        var least = keywords.Whole("minimum", "exclusiveMinimum", 1);
        var most = keywords.Whole("maximum", "exclusiveMaximum", -1);
        return least is null && most is null ? json.Integer(next)
            : (least ?? -MostInteger) <= (most ?? MostInteger) ? json.Integer(least ?? -MostInteger, most ?? MostInteger, next)
            : throw Wrong(keywords.Path, "minimum is above maximum");
    }

    // The keywords of one schema; which of them were heeded.
    private sealed class Keywords(JsonElement schema, string path)
    {
        private readonly HashSet<string> used = new(Descriptions, StringComparer.Ordinal);

        public string Path => path;

        public bool Has(string name) => schema.TryGetProperty(name, out _);

        public void Pass(string name) => used.Add(name);

        public JsonElement? Find(string name)
        {
            used.Add(name);
            return schema.TryGetProperty(name, out var value) ? value : null;
        }

        public List<string> Types() => Find("type") is not { } type ? []
            : type.ValueKind == JsonValueKind.String ? [type.GetString()!]
            : type.ValueKind == JsonValueKind.Array && type.GetArrayLength() > 0 && type.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) ? [.. type.EnumerateArray().Select(item => item.GetString()!).Distinct()]
            : throw Wrong(path, "type must be a name or a list of names");

        public IEnumerable<string> Strings(string name) => Find(name) is not { } list ? []
            : list.ValueKind == JsonValueKind.Array && list.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String) ? list.EnumerateArray().Select(item => item.GetString()!)
            : throw Wrong(path, $"{name} must be a list of strings");

        public (int Least, int Most) Bounds(string least, string most)
        {
            var (from, to) = (Count(least) ?? 0, Count(most) ?? ByteGrammar.Unbounded);
            return from <= to ? (from, to) : throw Wrong(path, $"{least} is above {most}");
        }

        public long? Whole(string inclusive, string exclusive, int step)
        {
            long? bound = null;
            foreach (var (name, shift) in ((string, int)[])[(inclusive, 0), (exclusive, step)])
            {
                if (Find(name) is not { } value)
                {
                    continue;
                }

                if (value.ValueKind != JsonValueKind.Number || !value.TryGetDecimal(out var number) || Math.Abs(number) > MostInteger)
                {
                    throw Wrong(path, $"{name} must be a number of at most 18 digits");
                }

                var whole = step > 0 ? Math.Ceiling(number) : Math.Floor(number);
                var one = (long)whole + (whole == number ? shift : 0);
                bound = bound is null ? one : step > 0 ? Math.Max(bound.Value, one) : Math.Min(bound.Value, one);
            }

            return bound is null ? null : Math.Clamp(bound.Value, -MostInteger, MostInteger);
        }

        public void CheckAllUsed()
        {
            foreach (var property in schema.EnumerateObject())
            {
                if (!used.Contains(property.Name))
                {
                    throw Wrong(path, $"'{property.Name}' is not supported here");
                }
            }
        }

        private int? Count(string name) => Find(name) is not { } value ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var count) && count >= 0 ? count
            : throw Wrong(path, $"{name} must be a whole number, at least 0");
    }
}
