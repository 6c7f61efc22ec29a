namespace GlmTune.Data.Templates.Jinja;

/// <summary>Operators between values, as Python defines them.</summary>
internal static class Operations
{
    /// <summary>The value of an operator.</summary>
    /// <exception cref="JinjaException">The values do not have it, or the result is too large.</exception>
    public static object? Binary(int line, string name, object? left, object? right, RenderWork work)
    {
        if (name == "~")
        {
            var (before, after) = (Values.Print(left), Values.Print(right));
            work.Size(line, (long)before.Length + after.Length);
            return before + after;
        }

        switch (name, left, right)
        {
            case ("+", string a, string b):
                work.Size(line, (long)a.Length + b.Length);
                return a + b;
            case ("+", List<object?> a, List<object?> b):
                work.Size(line, (long)a.Count + b.Count);
                return (List<object?>)[.. a, .. b];
            case ("*", string text, _) when Values.Whole(right) is { } times:
                return Repeat(line, text, times, work);
            case ("*", _, string text) when Values.Whole(left) is { } times:
                return Repeat(line, text, times, work);
        }

        if (Values.Whole(left) is { } x && Values.Whole(right) is { } y && name is not "/")
        {
            return Whole(line, name, x, y);
        }

        if (Values.Number(left) is { } p && Values.Number(right) is { } q)
        {
            return Fraction(line, name, p, q);
        }

        throw new JinjaException(line, $"'{name}' does not take {Values.TypeOf(left)} and {Values.TypeOf(right)}.");
    }

    /// <summary>Whether a list, text or object contains a value.</summary>
    /// <exception cref="JinjaException">It is none of them.</exception>
    public static bool Contains(int line, object? within, object? value) =>
        within switch
        {
            List<object?> list => list.Exists(item => Values.AreEqual(item, value)),
            OrderedDictionary<string, object?> members => value is string key && members.ContainsKey(key),
            string text when value is string part => text.Contains(part, StringComparison.Ordinal),
            Undefined => false,
            _ => throw new JinjaException(
                line,
                $"'in' does not look for {Values.TypeOf(value)} in {Values.TypeOf(within)}."
            ),
        };

    /// <summary>Which of two values comes first.</summary>
    /// <exception cref="JinjaException">They have no order.</exception>
    public static int Compare(int line, object? left, object? right) =>
        (left, right) switch
        {
            (string a, string b) => string.CompareOrdinal(a, b),
            _ when Values.Number(left) is { } a && Values.Number(right) is { } b => a.CompareTo(b),
            _ => throw new JinjaException(line, $"{Values.TypeOf(left)} and {Values.TypeOf(right)} have no order."),
        };

    private static string Repeat(int line, string text, long times, RenderWork work)
    {
        var count = Math.Max(times, 0);
        work.Size(line, text.Length == 0 ? 0 : (long)Int128.Min((Int128)count * text.Length, long.MaxValue));
        return text.Length == 0 ? "" : string.Concat(Enumerable.Repeat(text, (int)count));
    }

    private static object Whole(int line, string name, long x, long y)
    {
        try
        {
            checked
            {
                return name switch
                {
                    "+" => (object)(x + y),
                    "-" => x - y,
                    "*" => x * y,
                    "//" when y != 0 => (x / y) - (x % y != 0 && x < 0 != y < 0 ? 1 : 0),
                    "%" when y != 0 => ((x % y) + y) % y,
                    "**" when y >= 0 => Power(x, y),
                    "**" => Math.Pow(x, y),
                    _ => throw new JinjaException(line, "division by 0."),
                };
            }
        }
        catch (OverflowException)
        {
            throw new JinjaException(line, $"the result of '{name}' does not fit 64 bits.");
        }
    }

    private static long Power(long x, long y)
    {
        var result = 1L;
        for (var i = 0L; i < y && result is not 0; i++)
        {
            result = checked(result * x);
            if (x is 1 or -1 && i > 64)
            {
                return y % 2 == 0 ? 1 : x;
            }
        }

        return result;
    }

    private static double Fraction(int line, string name, double x, double y) =>
        name switch
        {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "**" => Math.Pow(x, y),
            _ when y == 0 => throw new JinjaException(line, "division by 0."),
            "/" => x / y,
            "//" => Math.Floor(x / y),
            _ => x - (y * Math.Floor(x / y)),
        };
}
