using System.Numerics;
using System.Text.Json;

namespace GlmTune.Constraints;

/// <summary>Decides whether the branches of a oneOf exclude each other, so that a text written for one branch is never
/// valid for another.</summary>
/// <remarks>Branches are told apart by types, listed values, bounds, lengths, or a property that every value of one
/// branch has and another branch forbids or gives a different kind of value. If none of these applies, branches count
/// as overlapping.</remarks>
internal sealed class SchemaOverlap(SchemaDocument document, Action<int> spend)
{
    private const int MaxLevels = 6;
    private const int ComparisonWork = 200;

    /// <summary>The branches, each with what distinguishes it from the others: for a discriminator, that the property
    /// is required.</summary>
    /// <exception cref="ArgumentException">Two branches may allow the same value.</exception>
    public IEnumerable<IReadOnlyList<SchemaPart>> Exclusive(
        IReadOnlyList<SchemaPart> branches,
        IReadOnlyList<SchemaPart> beside,
        SchemaPart union
    )
    {
        var ways = branches.Select(branch => (List<SchemaPart>)[branch]).ToList();
        if (
            union.Schema.TryGetProperty("discriminator", out var discriminator)
            && discriminator.ValueKind == JsonValueKind.Object
            && discriminator.TryGetProperty("propertyName", out var name)
            && name.ValueKind == JsonValueKind.String
        )
        {
            var required = JsonSerializer.SerializeToElement(
                new Dictionary<string, string[]> { ["required"] = [name.GetString()!] }
            );
            ways.ForEach(way => way.Add(union.At(required, "discriminator")));
        }

        for (var i = 0; i < ways.Count; i++)
        {
            for (var j = 0; j < ways.Count; j++)
            {
                if (i != j && !Excludes([.. beside, .. ways[i]], [.. beside, .. ways[j]], 0))
                {
                    throw union.Wrong(
                        $"oneOf/{i} and oneOf/{j} may allow the same value; give them different types, or a property "
                            + "that both require with different const values, or use anyOf"
                    );
                }
            }
        }

        return ways;
    }

    // Whether no value written for some parts is valid for some others.
    private bool Excludes(IReadOnlyList<SchemaPart> written, IReadOnlyList<SchemaPart> other, int level)
    {
        spend(ComparisonWork);
        if (level > MaxLevels)
        {
            return false;
        }

        var (flat, otherFlat) = (document.Flatten(written), document.Flatten(other));
        var (a, b) = (new SchemaShape(flat, spend), new SchemaShape(otherFlat, spend));
        if (a.Empty is not null || b.Empty is not null)
        {
            return true;
        }

        // Each branch on one side against each on the other.
        return a.Unions.Count > 0 ? Branches(a, flat).All(branch => Excludes(branch, other, level + 1))
            : b.Unions.Count > 0 ? Branches(b, otherFlat).All(branch => Excludes(written, branch, level + 1))
            : Differ(a, b, level);
    }

    private static IEnumerable<IReadOnlyList<SchemaPart>> Branches(SchemaShape shape, List<SchemaPart> flat)
    {
        // Other unions of the same parts are ignored, which allows more values.
        List<SchemaPart> beside = [.. flat.Select(part => part with { Bare = true })];
        return shape.Unions[0].Branches.Select(branch => (IReadOnlyList<SchemaPart>)[.. beside, branch]);
    }

    private bool Differ(SchemaShape a, SchemaShape b, int level)
    {
        if (a.Values is { } values)
        {
            spend((int)Math.Min((long)values.Count * (b.Values?.Count ?? 1) / 4, int.MaxValue));
            return values.TrueForAll(value => !Takes(b, value));
        }

        if (b.Values is { } others)
        {
            return others.TrueForAll(value => !Takes(a, value));
        }

        return Kinds(a)
            .All(type =>
                (!b.Allows(type) && !(type == "number" && b.Allows("integer")))
                || (
                    type switch
                    {
                        "object" => MembersDiffer(a, b, level),
                        "array" => a.MinItems > b.MaxItems || a.MaxItems < b.MinItems,
                        "string" => a.MinLength > b.MaxLength || a.MaxLength < b.MinLength,
                        "integer" or "number" => Below(a, b) || Below(b, a),
                        _ => false,
                    }
                )
            );
    }

    private static IEnumerable<string> Kinds(SchemaShape shape) =>
        shape.Types ?? ["object", "array", "string", "number", "boolean", "null"];

    // Whether a listed value may have a shape, as far as types and other lists tell.
    private static bool Takes(SchemaShape shape, JsonElement value) =>
        shape.Values is { } values
            ? values.Exists(other => JsonElement.DeepEquals(value, other))
            : shape.Allows(SchemaShape.TypeOf(value));

    private bool MembersDiffer(SchemaShape a, SchemaShape b, int level)
    {
        // Unnamed members are never written if there are properties and additionalProperties is absent.
        var isClosed =
            a.Objects.Count > 0
            && a.Objects.All(part =>
                part.Patterns.Count == 0 && part.Additional is null or { Schema.ValueKind: JsonValueKind.False }
            );
        var named = a
            .Objects.SelectMany(part => part.Properties.Keys)
            .Concat(a.Required)
            .ToHashSet(StringComparer.Ordinal);
        return (isClosed && b.Required.Exists(name => !named.Contains(name)))
            || a.Required.Exists(name =>
                Forbids(b, name)
                || (
                    Parts(a, name) is { Count: > 0 } own
                    && Parts(b, name) is { Count: > 0 } others
                    && Excludes(own, others, level + 1)
                )
            );
    }

    private static List<SchemaPart> Parts(SchemaShape shape, string name) =>
        [.. shape.Objects.Where(part => part.Properties.ContainsKey(name)).Select(part => part.Properties[name])];

    private static bool Forbids(SchemaShape shape, string name) =>
        shape.Objects.Any(part =>
            part.Patterns.Count == 0
            && !part.Properties.ContainsKey(name)
            && part.Additional is { Schema.ValueKind: JsonValueKind.False }
        );

    private static bool Below(SchemaShape a, SchemaShape b) =>
        a.Maximums.Exists(most =>
            b.Minimums.Exists(least =>
            {
                var ((from, fromPlaces), (to, toPlaces)) = (
                    DigitSequence.Exactly(least.Number)!.Value,
                    DigitSequence.Exactly(most.Number)!.Value
                );
                var difference = (from * BigInteger.Pow(10, toPlaces)) - (to * BigInteger.Pow(10, fromPlaces));
                return difference.Sign > 0 || (difference.IsZero && (least.Exclusive || most.Exclusive));
            })
        );
}
