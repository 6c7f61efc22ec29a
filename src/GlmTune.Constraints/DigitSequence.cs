using System.Globalization;
using System.Numerics;

namespace GlmTune.Constraints;

/// <summary>The digits of a non-negative number, within bounds and divisible by a given number, without an
/// exponent.</summary>
/// <remarks>Numbers are counted in units of the last decimal place. The number of digits before the point is fixed
/// first; a state is then the position together with either the comparison to a bound or the remainder of the division.
/// States from which no number can be completed are never entered.</remarks>
internal sealed class DigitSequence : Repetition
{
    /// <summary>Number of digits before the point.</summary>
    public const int MaxDigits = 18;

    /// <summary>Number of digits after the point.</summary>
    public const int MaxPlaces = 20;

    private const long Start = 0;
    private const int MaxKnown = 4000;
    private readonly BigInteger least;
    private readonly BigInteger most;
    private readonly int places;
    private readonly BigInteger multiple;
    private readonly int[] digits;
    private readonly int[] afterPoint;
    private readonly Dictionary<long, (int Rule, long Next)[]> known = [];

    /// <param name="grammar">The grammar to which rules for the digits are added.</param>
    /// <param name="least">The minimum, at least 0, in units of the last place.</param>
    /// <param name="most">The maximum, in units of the last place.</param>
    /// <param name="places">Number of decimal places, at most <see cref="MaxPlaces"/>; 0 for integers.</param>
    /// <param name="multiple">The divisor in units of the last place, at most 2³¹; 1 for any number.</param>
    public DigitSequence(ByteGrammar grammar, BigInteger least, BigInteger most, int places, BigInteger multiple)
    {
        this.least = least;
        this.most = BigInteger.Min(most, BigInteger.Pow(10, MaxDigits + places) - 1);
        (this.places, this.multiple) = (places, multiple);
        digits =
        [
            .. Enumerable
                .Range('0', 10)
                .Select(digit => grammar.Rule(grammar.Byte(ByteSet.Of((byte)digit), ByteGrammar.End))),
        ];
        afterPoint =
            places == 0
                ? []
                :
                [
                    .. Enumerable
                        .Range('0', 10)
                        .Select(digit => grammar.Rule(grammar.Literal([(byte)'.', (byte)digit], ByteGrammar.End))),
                ];
    }

    /// <summary>Whether there is any such number.</summary>
    public bool HasAny => HasMultiple(least, most);

    public override bool MayEnd(long state)
    {
        if (state == Start)
        {
            return false;
        }

        var (length, read, begun) = Unpack(state);
        if (read < length)
        {
            return false;
        }

        var zeros = Power(length + places - read);
        return begun.IsKnown
            ? InBounds(begun.Digits * zeros) && (begun.Digits * zeros) % multiple == 0
            : (begun.Digits * zeros) % multiple == 0;
    }

    public override void AddWays(long state, List<(int Rule, long Next)> ways)
    {
        if (!known.TryGetValue(state, out var found))
        {
            if (known.Count == MaxKnown)
            {
                known.Clear();
            }

            var next = new List<(int, long)>();
            FindWays(state, next);
            known[state] = found = [.. next];
        }

        ways.AddRange(found);
    }

    private void FindWays(long state, List<(int Rule, long Next)> ways)
    {
        if (state == Start)
        {
            for (var length = 1; length <= MaxDigits; length++)
            {
                for (var digit = length == 1 ? 0 : 1; digit < 10; digit++)
                {
                    AddWay(ways, digits[digit], length, 1, digit, isKnown: true);
                }
            }

            return;
        }

        var (wholes, read, begun) = Unpack(state);
        if (read == wholes + places)
        {
            return;
        }

        for (var digit = 0; digit < 10; digit++)
        {
            AddWay(
                ways,
                read == wholes ? afterPoint[digit] : digits[digit],
                wholes,
                read + 1,
                (begun.Digits * 10) + digit,
                begun.IsKnown
            );
        }
    }

    private void AddWay(
        List<(int Rule, long Next)> ways,
        int rule,
        int length,
        int read,
        BigInteger begun,
        bool isKnown
    )
    {
        var unit = Power(length + places - read);
        var (from, to) = (begun * unit, ((begun + 1) * unit) - 1);
        if (isKnown)
        {
            var inside = from >= least && to <= most;
            (from, to) = (BigInteger.Max(from, least), BigInteger.Min(to, most));
            isKnown = !inside;
        }

        if (HasMultiple(from, to))
        {
            ways.Add((rule, Pack(length, read, begun, isKnown)));
        }
    }

    private bool HasMultiple(BigInteger from, BigInteger to) => from <= to && (to / multiple * multiple) >= from;

    private bool InBounds(BigInteger number) => number >= least && number <= most;

    private static BigInteger Power(int exponent) => BigInteger.Pow(10, exponent);

    // Digits that match a bound so far are tracked exactly; for others only the remainder matters, as far as later
    // digits can change it.
    private long Pack(int length, int read, BigInteger begun, bool isKnown)
    {
        long kind = 0,
            rest = 0;
        if (isKnown)
        {
            kind = begun == least / Power(length + places - read) ? 1 : 2;
        }
        else
        {
            rest = (long)(
                begun % (multiple / BigInteger.GreatestCommonDivisor(multiple, Power(length + places - read)))
            );
        }

        return 1 + length + ((long)read << 5) + (kind << 11) + (rest << 13);
    }

    private (int Length, int Read, (BigInteger Digits, bool IsKnown) Begun) Unpack(long state)
    {
        state--;
        var (length, read, kind, rest) = ((int)(state & 31), (int)((state >> 5) & 63), (state >> 11) & 3, state >> 13);
        return (
            length,
            read,
            (
                kind switch
                {
                    1 => least / Power(length + places - read),
                    2 => most / Power(length + places - read),
                    _ => rest,
                },
                kind != 0
            )
        );
    }

    /// <summary>Reads a number of a schema exactly, as an integer and the number of its decimal places.</summary>
    /// <returns>null for a number with more decimal places than supported.</returns>
    public static (BigInteger Digits, int Places)? Exactly(string text)
    {
        var mark = text.AsSpan().IndexOfAny('e', 'E');
        var mantissa = mark < 0 ? text : text[..mark];
        var point = mantissa.IndexOf('.', StringComparison.Ordinal);
        var fraction = point < 0 ? "" : mantissa[(point + 1)..].TrimEnd('0');
        if (
            mantissa.Length > 1000
            || (
                mark >= 0
                && !int.TryParse(
                    text.AsSpan(mark + 1),
                    NumberStyles.AllowLeadingSign,
                    CultureInfo.InvariantCulture,
                    out _
                )
            )
        )
        {
            return null;
        }

        var whole = BigInteger.Parse(
            (point < 0 ? mantissa : mantissa[..point]) + fraction,
            CultureInfo.InvariantCulture
        );
        var exponent =
            mark < 0
                ? 0
                : int.Parse(text.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        if (whole.IsZero)
        {
            return (BigInteger.Zero, 0);
        }

        var decimals = (long)fraction.Length - exponent;
        while (decimals > 0 && whole % 10 == 0)
        {
            (whole, decimals) = (whole / 10, decimals - 1);
        }

        // Beyond the range that can be written, all numbers are equivalent.
        return decimals > MaxPlaces ? null
            : decimals >= 0 ? (whole, (int)decimals)
            : (whole * BigInteger.Pow(10, (int)Math.Min(-decimals, 2 * MaxDigits)), 0);
    }
}
