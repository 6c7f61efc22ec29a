using System.Globalization;
using System.Text;
using System.Text.Json;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>A name or member that does not exist: prints as nothing, is false, and has no members.</summary>
/// <param name="Name">The name that was used.</param>
internal sealed record Undefined(string Name);

/// <summary>An object whose members a template may set: Jinja's <c>namespace</c>.</summary>
internal sealed class Namespace
{
    public Dictionary<string, object?> Members { get; } = new(StringComparer.Ordinal);
}

/// <summary>A list that was written without brackets, or that comes from an object's items: Python's tuple, which
/// prints in parentheses.</summary>
internal sealed class TupleValue : List<object?>
{
    public TupleValue(IEnumerable<object?> items)
        : base(items) { }
}

/// <summary>What a template calls: a macro, or a function that every template has.</summary>
/// <param name="line">Where it is called.</param>
/// <param name="arguments">By position.</param>
/// <param name="named">By name.</param>
internal delegate object? Callable(
    int line,
    IReadOnlyList<object?> arguments,
    IReadOnlyDictionary<string, object?> named
);

/// <summary>Values of a template, with the meaning that Python gives them: null, bool, long, double, string, lists
/// (<see cref="List{T}"/>), objects in their order (<see cref="OrderedDictionary{TKey, TValue}"/>).</summary>
internal static class Values
{
    /// <summary>JSON as values; numbers that no 64-bit integer holds become floating-point numbers.</summary>
    public static object? Of(JsonElement json) =>
        json.ValueKind switch
        {
            JsonValueKind.Object => Members(json),
            JsonValueKind.Array => json.EnumerateArray().Select(Of).ToList(),
            JsonValueKind.String => json.GetString(),
            JsonValueKind.Number => json.TryGetInt64(out var whole) ? (object)whole : json.GetDouble(),
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => null,
        };

    /// <summary>Whether a value counts as true.</summary>
    public static bool IsTrue(object? value) =>
        value switch
        {
            null or Undefined => false,
            bool flag => flag,
            long number => number != 0,
            double number => number != 0,
            string text => text.Length > 0,
            List<object?> list => list.Count > 0,
            OrderedDictionary<string, object?> members => members.Count > 0,
            _ => true,
        };

    /// <summary>A value as <c>{{ … }}</c> prints it.</summary>
    public static string Print(object? value) =>
        value switch
        {
            Undefined => "",
            string text => text,
            _ => Represent(value),
        };

    /// <summary>A value as Python's <c>repr</c> writes it.</summary>
    public static string Represent(object? value) =>
        value switch
        {
            null => "None",
            Undefined => "Undefined",
            true => "True",
            false => "False",
            long number => number.ToString(CultureInfo.InvariantCulture),
            double number => PythonJson.Number(number),
            string text => Quote(text),
            TupleValue items => $"({string.Join(", ", items.Select(Represent))}{(items.Count == 1 ? "," : "")})",
            List<object?> list => $"[{string.Join(", ", list.Select(Represent))}]",
            OrderedDictionary<string, object?> members =>
                $"{{{string.Join(", ", members.Select(member => $"{Quote(member.Key)}: {Represent(member.Value)}"))}}}",
            _ => $"<{TypeOf(value)}>",
        };

    /// <summary>What messages call a value's type.</summary>
    public static string TypeOf(object? value) =>
        value switch
        {
            null => "none",
            Undefined undefined => $"undefined ('{undefined.Name}')",
            bool => "a boolean",
            long => "an integer",
            double => "a float",
            string => "a string",
            List<object?> => "a list",
            OrderedDictionary<string, object?> => "an object",
            Namespace => "a namespace",
            _ => "a function",
        };

    /// <summary>Whether two values are equal; numbers of different types are compared by value, and booleans are
    /// numbers.</summary>
    public static bool AreEqual(object? x, object? y) =>
        (x, y) switch
        {
            (Undefined, Undefined) => true,
            (null, null) => true,
            (string a, string b) => a == b,
            (List<object?> a, List<object?> b) => a.Count == b.Count
                && a.Zip(b).All(pair => AreEqual(pair.First, pair.Second)),
            (OrderedDictionary<string, object?> a, OrderedDictionary<string, object?> b) => a.Count == b.Count
                && a.All(member => b.TryGetValue(member.Key, out var other) && AreEqual(member.Value, other)),
            _ when Number(x) is { } a && Number(y) is { } b => x is not double && y is not double
                ? Whole(x) == Whole(y)
                : a == b,
            _ => ReferenceEquals(x, y),
        };

    /// <summary>A number or a boolean as a floating-point number; null if it is neither.</summary>
    public static double? Number(object? value) =>
        value switch
        {
            bool flag => flag ? 1 : 0,
            long number => number,
            double number => number,
            _ => null,
        };

    /// <summary>An integer or a boolean as an integer; null if it is neither.</summary>
    public static long? Whole(object? value) =>
        value switch
        {
            bool flag => flag ? 1 : 0,
            long number => number,
            _ => null,
        };

    /// <summary>The characters of a text as Python counts them: by code point.</summary>
    public static List<string> Characters(string text) => [.. text.EnumerateRunes().Select(rune => rune.ToString())];

    private static OrderedDictionary<string, object?> Members(JsonElement json)
    {
        var members = new OrderedDictionary<string, object?>(StringComparer.Ordinal);
        foreach (var property in json.EnumerateObject())
        {
            members[property.Name] = Of(property.Value);
        }

        return members;
    }

    private static string Quote(string text)
    {
        var quote = text.Contains('\'') && !text.Contains('"') ? '"' : '\'';
        var quoted = new StringBuilder().Append(quote);
        foreach (var c in text)
        {
            _ = c switch
            {
                '\\' => quoted.Append("\\\\"),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                _ when c == quote => quoted.Append('\\').Append(c),
                < ' ' or '\x7f' => quoted.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}"),
                _ => quoted.Append(c),
            };
        }

        return quoted.Append(quote).ToString();
    }
}
