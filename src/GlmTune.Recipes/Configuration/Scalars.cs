using System.Globalization;
using System.Text.RegularExpressions;

namespace GlmTune.Recipes.Configuration;

/// <summary>Parses numbers and Booleans in the notations of both YAML 1.1 and 1.2.</summary>
internal static partial class Scalars
{
    /// <summary>A finite number: <c>3</c>, <c>5e-4</c>, <c>1E-3</c>, <c>.5</c>, <c>1_000</c>.</summary>
    public static bool TryNumber(string text, out double value)
    {
        value = 0;
        return NumberPattern().IsMatch(text)
            && double.TryParse(
                text.Replace("_", "", StringComparison.Ordinal),
                NumberStyles.Float,
                CultureInfo.InvariantCulture,
                out value
            )
            && double.IsFinite(value);
    }

    /// <summary>An integer in any notation: <c>1000</c>, <c>1e3</c>, <c>1000.0</c>.</summary>
    public static bool TryWhole(string text, out long value)
    {
        value = 0;
        if (!TryNumber(text, out var number) || number != Math.Floor(number) || Math.Abs(number) > 1L << 53)
        {
            return false;
        }

        value = (long)number;
        return true;
    }

    /// <summary><c>true</c>, <c>yes</c>, <c>on</c> and their opposites, case-insensitive.</summary>
    public static bool TryFlag(string text, out bool value)
    {
        var word = text.ToLowerInvariant();
        value = word is "true" or "yes" or "on";
        return value || word is "false" or "no" or "off";
    }

    /// <summary>A value in the notation of a configuration file.</summary>
    public static string Write(object? value) =>
        value switch
        {
            null => "null",
            bool flag => flag ? "true" : "false",
            double number => WriteNumber(number),
            IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
            _ => value.ToString()!,
        };

    private static string WriteNumber(double number)
    {
        var text = number.ToString("R", CultureInfo.InvariantCulture);
        return ExponentPattern().Replace(text, "e$1$2");
    }

    [GeneratedRegex(@"^[+-]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][+-]?\d+)?$", RegexOptions.CultureInvariant)]
    private static partial Regex NumberPattern();

    [GeneratedRegex(@"E(-?)\+?0*(\d+)$", RegexOptions.CultureInvariant)]
    private static partial Regex ExponentPattern();
}
