using System.Text.Json;

namespace GlmTune.Constraints;

/// <summary>The combined constraints of several schemas that apply to the same value, keyword by keyword.</summary>
internal sealed class SchemaShape
{
    private static readonly HashSet<string> Descriptions =
    [
        "title",
        "description",
        "default",
        "examples",
        "example",
        "$schema",
        "$id",
        "$comment",
        "$anchor",
        "$defs",
        "definitions",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "strict",
        "discriminator",
        "nullable",
    ];

    private static readonly string[] ObjectKeywords =
    [
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "unevaluatedProperties",
    ];
    private static readonly string[] ArrayKeywords =
    [
        "items",
        "prefixItems",
        "additionalItems",
        "minItems",
        "maxItems",
        "uniqueItems",
        "unevaluatedItems",
    ];
    private static readonly string[] StringKeywords = ["pattern", "minLength", "maxLength"];
    private static readonly string[] NumberKeywords =
    [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
    ];
    private static readonly HashSet<string> Known =
    [
        .. ObjectKeywords,
        .. ArrayKeywords,
        .. StringKeywords,
        .. NumberKeywords,
        "type",
        "enum",
        "const",
        "format",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "not",
    ];

    private static readonly string[] AllTypes = ["object", "array", "string", "integer", "number", "boolean", "null"];

    private readonly Action<int> spend;
    private readonly List<ObjectPart> objects = [];
    private readonly List<ArrayPart> arrays = [];
    private HashSet<string>? types;

    /// <summary>Combines parts whose references have been resolved.</summary>
    /// <param name="parts">The parts.</param>
    /// <param name="spend">Counts the work.</param>
    /// <exception cref="ArgumentException">A keyword has an invalid value, or cannot be enforced.</exception>
    public SchemaShape(IReadOnlyList<SchemaPart> parts, Action<int> spend)
    {
        this.spend = spend;
        Path = parts.Count == 0 ? "#" : parts[0].Path;
        var words = new HashSet<string>(StringComparer.Ordinal);
        foreach (var part in parts)
        {
            if (part.Schema.ValueKind == JsonValueKind.False)
            {
                Empty ??= $"schema {part.Path}: false allows no value";
                continue;
            }

            Read(part);
            words.UnionWith(part.Schema.EnumerateObject().Select(keyword => keyword.Name));
        }

        // Without a type, keywords for one kind of value imply that kind.
        if (types is null && Values is null && Unions.Count == 0)
        {
            HashSet<string> implied = [];
            foreach (
                var (type, kind) in ((string, string[])[])
                    [
                        ("object", ObjectKeywords),
                        ("array", ArrayKeywords),
                        ("string", StringKeywords),
                        ("number", NumberKeywords),
                    ]
            )
            {
                _ = kind.Any(words.Contains) && implied.Add(type);
            }

            types = implied.Count > 0 ? implied : null;
        }

        if (types is { Count: 0 })
        {
            Empty ??= $"schema {Path}: its parts have no type in common";
        }
    }

    /// <summary>Location of the first part.</summary>
    public string Path { get; }

    /// <summary>Why no value is possible; null if some may be.</summary>
    public string? Empty { get; private set; }

    /// <summary>The types still possible, where number includes integer; null: any.</summary>
    public IReadOnlyCollection<string>? Types => types;

    /// <summary>The values common to enum and const, not yet checked against other keywords; null if none are
    /// listed.</summary>
    public List<JsonElement>? Values { get; private set; }

    /// <summary>Branches of anyOf and oneOf, of which one must also apply; for oneOf exactly one.</summary>
    public List<(IReadOnlyList<SchemaPart> Branches, bool Exclusive, SchemaPart Part)> Unions { get; } = [];

    /// <summary>The minimum: its text, and whether it is exclusive.</summary>
    public List<(string Number, bool Exclusive)> Minimums { get; } = [];

    /// <summary>The maximum, like <see cref="Minimums"/>.</summary>
    public List<(string Number, bool Exclusive)> Maximums { get; } = [];

    /// <summary>The divisor of numbers.</summary>
    public List<string> Multiples { get; } = [];

    public int MinLength { get; private set; }

    public int MaxLength { get; private set; } = ByteGrammar.Unbounded;

    public List<string> Patterns { get; } = [];

    public List<string> Formats { get; } = [];

    public int MinItems { get; private set; }

    public bool HasMinItems { get; private set; }

    public int MaxItems { get; private set; } = ByteGrammar.Unbounded;

    public bool UniqueItems { get; private set; }

    public int MinProperties { get; private set; }

    public int MaxProperties { get; private set; } = ByteGrammar.Unbounded;

    /// <summary>Required names, in order.</summary>
    public List<string> Required { get; } = [];

    /// <summary>Constraints on property names.</summary>
    public List<SchemaPart> PropertyNames { get; } = [];

    /// <summary>Constraints on members, part by part.</summary>
    public IReadOnlyList<ObjectPart> Objects => objects;

    /// <summary>Constraints on items, part by part.</summary>
    public IReadOnlyList<ArrayPart> Arrays => arrays;

    /// <summary>Whether a keyword only describes a value.</summary>
    public static bool Describes(string keyword) => Descriptions.Contains(keyword);

    /// <summary>Whether values of a type are possible.</summary>
    public bool Allows(string type) =>
        types is null || types.Contains(type) || (type == "integer" && types.Contains("number"));

    /// <summary>The type of a value.</summary>
    public static string TypeOf(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.String => "string",
            JsonValueKind.Number => DigitSequence.Exactly(value.GetRawText()) is { Places: 0 } ? "integer" : "number",
            JsonValueKind.True or JsonValueKind.False => "boolean",
            JsonValueKind.Null => "null",
            JsonValueKind.Array => "array",
            _ => "object",
        };

    private void Read(SchemaPart part)
    {
        foreach (var keyword in part.Schema.EnumerateObject())
        {
            if (!Known.Contains(keyword.Name) && !Describes(keyword.Name))
            {
                throw part.Wrong($"'{keyword.Name}' is not supported here");
            }
        }

        if (Find("type") is { } type)
        {
            Intersect(ReadTypes(type, part));
        }

        if (Find("enum") is { } listed)
        {
            Intersect(
                listed.ValueKind == JsonValueKind.Array && listed.GetArrayLength() > 0
                    ? [.. listed.EnumerateArray()]
                    : throw part.Wrong("enum must be a list with a value of the type")
            );
        }

        if (Find("const") is { } constant)
        {
            Intersect([constant]);
        }

        if (Find("not") is { } not)
        {
            Empty ??=
                not.ValueKind == JsonValueKind.True
                || (not.ValueKind == JsonValueKind.Object && !not.EnumerateObject().Any())
                    ? $"schema {part.Path}: not allows no value"
                    : throw part.Wrong("'not' is not supported here");
        }

        ReadNumbers(part);
        ReadStrings(part);
        ReadObjects(part);
        ReadArrays(part);
        if (!part.Bare)
        {
            ReadUnion(part, "anyOf");
            ReadUnion(part, "oneOf");
        }

        JsonElement? Find(string name) => part.Schema.TryGetProperty(name, out var value) ? value : null;
    }

    private static HashSet<string> ReadTypes(JsonElement type, SchemaPart part)
    {
        List<string> names =
            type.ValueKind == JsonValueKind.String ? [type.GetString()!]
            : type.ValueKind == JsonValueKind.Array
            && type.GetArrayLength() > 0
            && type.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
                ? [.. type.EnumerateArray().Select(item => item.GetString()!)]
            : throw part.Wrong("type must be a name or a list of names");
        if (names.Find(name => !AllTypes.Contains(name)) is { } wrong)
        {
            throw part.Wrong($"type '{wrong}' is not one of {string.Join(", ", AllTypes)}");
        }

        return names.ToHashSet(StringComparer.Ordinal);
    }

    // Numbers include integers.
    private void Intersect(HashSet<string> allowed)
    {
        if (types is null)
        {
            types = allowed;
        }
        else
        {
            var integers = Allows("integer") && (allowed.Contains("integer") || allowed.Contains("number"));
            var numbers = types.Contains("number") && allowed.Contains("number");
            types.IntersectWith(allowed);
            _ = integers && !numbers && types.Add("integer");
        }

        _ = types.Contains("number") && types.Remove("integer");
    }

    private void Intersect(List<JsonElement> values)
    {
        spend(values.Count + (int)Math.Min((long)(Values?.Count ?? 0) * values.Count / 4, int.MaxValue / 2));
        Values = Values is null
            ? values
            : [.. Values.Where(value => values.Exists(other => JsonElement.DeepEquals(value, other)))];
    }

    private void ReadNumbers(SchemaPart part)
    {
        Bound(part, "minimum", "exclusiveMinimum", Minimums);
        Bound(part, "maximum", "exclusiveMaximum", Maximums);
        if (part.Schema.TryGetProperty("multipleOf", out var multiple))
        {
            Multiples.Add(
                multiple.ValueKind == JsonValueKind.Number
                && DigitSequence.Exactly(multiple.GetRawText()) is { Digits.Sign: > 0 }
                    ? multiple.GetRawText()
                    : throw part.Wrong(
                        $"multipleOf must be a number above 0 with at most {DigitSequence.MaxPlaces} decimals"
                    )
            );
        }
    }

    // In older schemas, exclusive… is a boolean beside the bound itself.
    private static void Bound(SchemaPart part, string inclusive, string exclusive, List<(string, bool)> bounds)
    {
        var isOutside = part.Schema.TryGetProperty(exclusive, out var other) && other.ValueKind == JsonValueKind.True;
        if (part.Schema.TryGetProperty(inclusive, out var bound))
        {
            bounds.Add((Number(bound, inclusive), isOutside));
        }

        if (other.ValueKind is not (JsonValueKind.Undefined or JsonValueKind.True or JsonValueKind.False))
        {
            bounds.Add((Number(other, exclusive), true));
        }

        string Number(JsonElement value, string name) =>
            value.ValueKind == JsonValueKind.Number && DigitSequence.Exactly(value.GetRawText()) is not null
                ? value.GetRawText()
                : throw part.Wrong($"{name} must be a number with at most {DigitSequence.MaxPlaces} decimals");
    }

    private void ReadStrings(SchemaPart part)
    {
        MinLength = Math.Max(MinLength, Count(part, "minLength") ?? 0);
        MaxLength = Math.Min(MaxLength, Count(part, "maxLength") ?? ByteGrammar.Unbounded);
        foreach (var (name, found) in ((string, List<string>)[])[("pattern", Patterns), ("format", Formats)])
        {
            if (part.Schema.TryGetProperty(name, out var text))
            {
                var given =
                    text.ValueKind == JsonValueKind.String
                        ? text.GetString()!
                        : throw part.Wrong($"{name} must be a string");
                if (!found.Contains(given))
                {
                    found.Add(given);
                }
            }
        }
    }

    private void ReadObjects(SchemaPart part)
    {
        var schema = part.Schema;
        MinProperties = Math.Max(MinProperties, Count(part, "minProperties") ?? 0);
        MaxProperties = Math.Min(MaxProperties, Count(part, "maxProperties") ?? ByteGrammar.Unbounded);
        if (schema.TryGetProperty("required", out var required))
        {
            var names =
                required.ValueKind == JsonValueKind.Array
                && required.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String)
                    ? required.EnumerateArray().Select(item => item.GetString()!)
                    : throw part.Wrong("required must be a list of strings");
            spend(required.GetArrayLength() + Required.Count);
            Required.AddRange(names.Except(Required).ToList());
        }

        if (schema.TryGetProperty("propertyNames", out var propertyNames))
        {
            PropertyNames.Add(part.At(propertyNames, "propertyNames"));
        }

        Closing(part, "unevaluatedProperties");
        if (
            !ObjectKeywords.Any(word =>
                word is not ("minProperties" or "maxProperties" or "required" or "propertyNames")
                && schema.TryGetProperty(word, out _)
            )
        )
        {
            return;
        }

        var read = new ObjectPart(
            Members(part, "properties"),
            Members(part, "patternProperties"),
            schema.TryGetProperty("additionalProperties", out var additional)
                ? part.At(additional, "additionalProperties")
                : null
        );
        objects.Add(read);
    }

    private void ReadArrays(SchemaPart part)
    {
        var schema = part.Schema;
        HasMinItems |= schema.TryGetProperty("minItems", out _);
        MinItems = Math.Max(MinItems, Count(part, "minItems") ?? 0);
        MaxItems = Math.Min(MaxItems, Count(part, "maxItems") ?? ByteGrammar.Unbounded);
        if (schema.TryGetProperty("uniqueItems", out var unique))
        {
            UniqueItems |= unique.ValueKind is JsonValueKind.True or JsonValueKind.False
                ? unique.ValueKind == JsonValueKind.True
                : throw part.Wrong("uniqueItems must be true or false");
        }

        Closing(part, "unevaluatedItems");
        var prefixWord = "prefixItems";
        var hasItems = schema.TryGetProperty("items", out var items);
        if (hasItems && items.ValueKind == JsonValueKind.Array)
        {
            // The form before 2020-12.
            prefixWord = "items";
            hasItems = schema.TryGetProperty("additionalItems", out items);
        }

        var prefix = new List<SchemaPart>();
        if (
            schema.TryGetProperty(prefixWord, out var first)
            && (prefixWord == "prefixItems" || first.ValueKind == JsonValueKind.Array)
        )
        {
            spend(first.ValueKind == JsonValueKind.Array ? first.GetArrayLength() * (1 + part.PathWork) : 0);
            prefix.AddRange(
                first.ValueKind == JsonValueKind.Array
                    ? first.EnumerateArray().Index().Select(item => part.At(item.Item, prefixWord, $"{item.Index}"))
                    : throw part.Wrong("prefixItems must be a list of schemas")
            );
        }

        if (prefix.Count > 0 || hasItems)
        {
            arrays.Add(
                new ArrayPart(
                    prefix,
                    hasItems ? part.At(items, prefixWord == "items" ? "additionalItems" : "items") : null
                )
            );
        }
    }

    private void ReadUnion(SchemaPart part, string word)
    {
        if (!part.Schema.TryGetProperty(word, out var branches))
        {
            return;
        }

        if (branches.ValueKind != JsonValueKind.Array || branches.GetArrayLength() == 0)
        {
            throw part.Wrong($"{word} must be a list of at least one schema");
        }

        spend((branches.GetArrayLength() * (1 + part.PathWork)) + (branches.GetRawText().Length / 16));
        var ways = branches.EnumerateArray().Index().Select(way => part.At(way.Item, word, $"{way.Index}"));
        Unions.Add(
            ([.. word == "anyOf" ? ways.DistinctBy(way => way.Schema.GetRawText()) : ways], word == "oneOf", part)
        );
    }

    // Members that are not named are not written anyway.
    private static void Closing(SchemaPart part, string word)
    {
        if (
            part.Schema.TryGetProperty(word, out var value)
            && value.ValueKind is not (JsonValueKind.False or JsonValueKind.True)
        )
        {
            throw part.Wrong($"'{word}' is supported as true or false only");
        }
    }

    private OrderedDictionary<string, SchemaPart> Members(SchemaPart part, string word)
    {
        var members = new OrderedDictionary<string, SchemaPart>(StringComparer.Ordinal);
        if (part.Schema.TryGetProperty(word, out var found))
        {
            foreach (
                var property in found.ValueKind == JsonValueKind.Object
                    ? found.EnumerateObject()
                    : throw part.Wrong($"{word} must be an object")
            )
            {
                var member = part.At(property.Value, word, property.Name);
                spend(4 + member.PathWork);
                members[property.Name] = member;
            }
        }

        return members;
    }

    private static int? Count(SchemaPart part, string name) =>
        !part.Schema.TryGetProperty(name, out var value) ? null
        : value.ValueKind == JsonValueKind.Number
        && DigitSequence.Exactly(value.GetRawText()) is { Places: 0, Digits.Sign: >= 0 } count
            ? (int)System.Numerics.BigInteger.Min(count.Digits, ByteGrammar.Unbounded)
        : throw part.Wrong($"{name} must be a whole number, at least 0");

    /// <summary>What one schema says about an object's members.</summary>
    /// <param name="Properties">Schemas by name.</param>
    /// <param name="Patterns">Schemas by pattern of the name.</param>
    /// <param name="Additional">Schema of other members; null if not given.</param>
    public sealed record ObjectPart(
        OrderedDictionary<string, SchemaPart> Properties,
        OrderedDictionary<string, SchemaPart> Patterns,
        SchemaPart? Additional
    );

    /// <summary>What one schema says about an array's items.</summary>
    /// <param name="Prefix">Schemas of the first items.</param>
    /// <param name="Rest">Schema of the following items; null if not given.</param>
    public sealed record ArrayPart(IReadOnlyList<SchemaPart> Prefix, SchemaPart? Rest);
}
