using System.Numerics;

namespace GlmTune.Constraints;

/// <summary>Numbers in a schema: minimum, maximum, multipleOf.</summary>
internal sealed class NumberRules(JsonSchemaGrammar schema, JsonGrammar json)
{
    private const int UsualPlaces = 15; // Decimal digits of a double.
    private const int MaxMultiple = int.MaxValue;

    private readonly ByteGrammar grammar = json.Grammar;

    /// <summary>Whether a listed number satisfies the other keywords.</summary>
    public static bool Fits(string text, SchemaShape shape) =>
        shape.Minimums.Count + shape.Maximums.Count + shape.Multiples.Count == 0
        || (
            DigitSequence.Exactly(text) is { } number
            && Limits(shape, false, number.Places) is var limits
            && Scaled(number, limits.Places) is { } scaled
            && scaled >= limits.Min
            && scaled <= limits.Max
            && scaled % limits.Multiple == 0
        );

    /// <summary>Builds the rule for a number or an integer.</summary>
    public int Build(SchemaShape shape, bool isInteger, int next)
    {
        if (shape.Minimums.Count + shape.Maximums.Count + shape.Multiples.Count == 0)
        {
            return isInteger ? json.Integer(next) : json.Number(next);
        }

        var (least, most, places, multiple) = Limits(shape, isInteger);
        if (least > most)
        {
            return schema.Nothing(shape, "minimum is above maximum, or beyond 18 digits");
        }

        var ways = new List<int>();
        var positive = new DigitSequence(grammar, BigInteger.Max(least, 0), most, places, multiple);
        if (positive.HasAny)
        {
            ways.Add(grammar.Repeat(positive, next));
        }

        var negative = new DigitSequence(grammar, BigInteger.Max(-most, 1), -least, places, multiple);
        if (negative.HasAny)
        {
            ways.Add(grammar.Literal("-"u8, grammar.Repeat(negative, next)));
        }

        return ways.Count > 0
            ? grammar.Choice([.. ways])
            : schema.Nothing(shape, "no number between minimum and maximum is a multiple of multipleOf");
    }

    // Bounds and divisor in units of the last decimal place.
    public static (BigInteger Min, BigInteger Max, int Places, BigInteger Multiple) Limits(
        SchemaShape shape,
        bool isInteger,
        int atLeast = 0
    )
    {
        var bounds = shape
            .Minimums.Concat(shape.Maximums)
            .Select(bound => DigitSequence.Exactly(bound.Number)!.Value.Places)
            .DefaultIfEmpty(0)
            .Max();
        var multiples = shape.Multiples.ConvertAll(text => DigitSequence.Exactly(text)!.Value);
        var fine = multiples.Select(multiple => multiple.Places).Append(atLeast).Max();

        // Integers are multiples of 1.
        var multiple = multiples.Aggregate(
            isInteger ? BigInteger.Pow(10, fine) : BigInteger.One,
            (all, one) => Common(all, one.Digits * BigInteger.Pow(10, fine - one.Places))
        );
        if (multiple > MaxMultiple * (isInteger ? BigInteger.Pow(10, fine) : 1))
        {
            throw new ArgumentException(
                $"schema {shape.Path}: multipleOf is supported up to {MaxMultiple} units of its last decimal " + "place"
            );
        }

        var places =
            isInteger ? 0
            : shape.Multiples.Count > 0 || atLeast > 0 ? fine
            : Math.Min(Math.Max(UsualPlaces, bounds), DigitSequence.MaxPlaces);
        multiple = isInteger ? multiple / BigInteger.Pow(10, fine) : multiple;
        var most = BigInteger.Pow(10, DigitSequence.MaxDigits + places) - 1;
        var least = -most;
        foreach (var (text, exclusive) in shape.Minimums)
        {
            least = BigInteger.Max(least, -Floor(text, places, exclusive, sign: -1));
        }

        foreach (var (text, exclusive) in shape.Maximums)
        {
            most = BigInteger.Min(most, Floor(text, places, exclusive, sign: 1));
        }

        return (least, most, places, multiple);
    }

    private static BigInteger Common(BigInteger a, BigInteger b) => a / BigInteger.GreatestCommonDivisor(a, b) * b;

    // The largest number of units not above a bound, or the same with signs reversed.
    private static BigInteger Floor(string text, int places, bool exclusive, int sign)
    {
        var (digits, decimals) = DigitSequence.Exactly(text)!.Value;
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
