using System.Globalization;
using System.Text;
using System.Text.Json;

namespace GlmTune.Data.Templates;

/// <summary>Writes JSON exactly as Python's <c>json.dumps(json.loads(text), ensure_ascii=False)</c> does.</summary>
/// <remarks>GLM-4's training text contains tool definitions written by that function, indented by four
/// spaces.</remarks>
internal static class PythonJson
{
    /// <summary>Rewrites JSON.</summary>
    /// <param name="json">Any JSON text.</param>
    /// <param name="indent">Spaces per level, with each item on its own line; null: one line with ", " and ":
    /// ".</param>
    /// <exception cref="JsonException">Not valid JSON.</exception>
    public static string Rewrite(string json, int? indent)
    {
        using var document = JsonDocument.Parse(json, new JsonDocumentOptions { MaxDepth = 512 });
        return Write(document.RootElement, indent);
    }

    /// <summary>Writes a value; <paramref name="indent"/> as in <see cref="Rewrite"/>.</summary>
    public static string Write(JsonElement value, int? indent)
    {
        var text = new StringBuilder();
        Append(text, value, indent, level: 0);
        return text.ToString();
    }

    /// <summary>Writes a string with its quotes.</summary>
    public static string Quote(string value)
    {
        var text = new StringBuilder();
        AppendString(text, value);
        return text.ToString();
    }

    private static void Append(StringBuilder text, JsonElement value, int? indent, int level)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                AppendItems(
                    text,
                    '{',
                    '}',
                    Members(value),
                    indent,
                    level,
                    member =>
                    {
                        AppendString(text, member.Key);
                        text.Append(": ");
                        Append(text, member.Value, indent, level + 1);
                    }
                );
                break;
            case JsonValueKind.Array:
                AppendItems(
                    text,
                    '[',
                    ']',
                    [.. value.EnumerateArray()],
                    indent,
                    level,
                    item => Append(text, item, indent, level + 1)
                );
                break;
            case JsonValueKind.String:
                AppendString(text, value.GetString()!);
                break;
            case JsonValueKind.Number:
                text.Append(Number(value.GetRawText()));
                break;
            default:
                text.Append(value.GetRawText());
                break;
        }
    }

    private static void AppendItems<T>(
        StringBuilder text,
        char open,
        char close,
        List<T> items,
        int? indent,
        int level,
        Action<T> append
    )
    {
        text.Append(open);
        for (var i = 0; i < items.Count; i++)
        {
            if (i > 0)
            {
                text.Append(indent is null ? ", " : ",");
            }

            NewLine(text, indent, level + 1);
            append(items[i]);
        }

        if (items.Count > 0)
        {
            NewLine(text, indent, level);
        }

        text.Append(close);
    }

    private static void NewLine(StringBuilder text, int? indent, int level)
    {
        if (indent is { } spaces)
        {
            text.Append('\n').Append(' ', spaces * level);
        }
    }

    // A duplicate key keeps its first position and takes its last value, as in a Python dict.
    private static List<KeyValuePair<string, JsonElement>> Members(JsonElement value)
    {
        var members = new OrderedDictionary<string, JsonElement>(StringComparer.Ordinal);
        foreach (var property in value.EnumerateObject())
        {
            members[property.Name] = property.Value;
        }

        return [.. members];
    }

    private static void AppendString(StringBuilder text, string value)
    {
        text.Append('"');
        foreach (var c in value)
        {
            _ = c switch
            {
                '"' => text.Append("\\\""),
                '\\' => text.Append("\\\\"),
                '\n' => text.Append("\\n"),
                '\r' => text.Append("\\r"),
                '\t' => text.Append("\\t"),
                '\f' => text.Append("\\f"),
                '\b' => text.Append("\\b"),
                < ' ' => text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => text.Append(c),
            };
        }

        text.Append('"');
    }

    // Integers keep all digits; other numbers are the shortest text that gives the same double, with an exponent below
    // 1e-4 and from 1e16 on.
    private static string Number(string raw)
    {
        if (raw.AsSpan().IndexOfAny('.', 'e', 'E') < 0)
        {
            return raw == "-0" ? "0" : raw;
        }

        return Number(double.Parse(raw, CultureInfo.InvariantCulture));
    }

    /// <summary>Writes a floating-point number.</summary>
    internal static string Number(double value)
    {
        if (!double.IsFinite(value))
        {
            return double.IsNaN(value) ? "NaN"
                : value > 0 ? "Infinity"
                : "-Infinity";
        }

        // .NET gives the same shortest digits, but uses other rules for the exponent: "1E-05", "0.001", "123.5".
        var shortest = value.ToString("R", CultureInfo.InvariantCulture);
        var sign = shortest[0] == '-' ? "-" : "";
        var mark = shortest.IndexOf('E', StringComparison.Ordinal);
        var mantissa = shortest[sign.Length..(mark < 0 ? shortest.Length : mark)];
        var point = mantissa.IndexOf('.', StringComparison.Ordinal);
        var exponent =
            (
                mark < 0
                    ? 0
                    : int.Parse(shortest.AsSpan(mark + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture)
            )
            + (point < 0 ? mantissa.Length : point)
            - 1;
        var digits = mantissa.Replace(".", "", StringComparison.Ordinal);
        var significant = digits.TrimStart('0');
        if (significant.Length == 0)
        {
            return $"{sign}0.0";
        }

        exponent -= digits.Length - significant.Length;
        return sign + Format(significant.TrimEnd('0'), exponent);
    }

    // digits has no zeros at either end; the number is d.ddd × 10^exponent.
    private static string Format(string digits, int exponent) =>
        exponent switch
        {
            < -4 or >= 16 => $"{digits[0]}{(digits.Length > 1 ? "." + digits[1..] : "")}"
                + $"e{(exponent < 0 ? '-' : '+')}{Math.Abs(exponent):00}",
            < 0 => $"0.{new string('0', -exponent - 1)}{digits}",
            _ when digits.Length > exponent + 1 => $"{digits[..(exponent + 1)]}.{digits[(exponent + 1)..]}",
            _ => $"{digits.PadRight(exponent + 1, '0')}.0",
        };
}
