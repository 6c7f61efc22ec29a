using System.Globalization;
using System.Text;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>Writes values as Python's <c>json.dumps</c> does.</summary>
internal sealed class JsonWriter(int line, RenderWork work)
{
    private const int MaxDepth = 200;
    private readonly StringBuilder text = new();

    /// <summary>Whether other characters than ASCII are escaped.</summary>
    public bool IsAscii { get; init; }

    /// <summary>Spaces a level; null: one line.</summary>
    public int? Indent { get; init; }

    /// <summary>Whether the members of an object are sorted by key.</summary>
    public bool SortsKeys { get; init; }

    /// <summary>Between two items; null: the default.</summary>
    public string? ItemSeparator { get; set; }

    /// <summary>Between a key and its value.</summary>
    public string KeySeparator { get; set; } = ": ";

    /// <exception cref="JinjaException">A value has no JSON, or is too large or too deep.</exception>
    public string Write(object? value)
    {
        Append(value, 0);
        return text.ToString();
    }

    private void Append(object? value, int level)
    {
        work.Step(line);
        work.Check(line, text.Length);
        switch (value)
        {
            case null:
                text.Append("null");
                break;
            case bool flag:
                text.Append(flag ? "true" : "false");
                break;
            case string said:
                AppendString(said);
                break;
            case long or double:
                text.Append(Values.Represent(value));
                break;
            case List<object?> list:
                AppendAll('[', ']', list, level, item => Append(item, level + 1));
                break;
            case OrderedDictionary<string, object?> members:
                IEnumerable<KeyValuePair<string, object?>> pairs = SortsKeys
                    ? members.OrderBy(member => member.Key, StringComparer.Ordinal)
                    : members;
                AppendAll(
                    '{',
                    '}',
                    [.. pairs],
                    level,
                    member =>
                    {
                        AppendString(member.Key);
                        text.Append(KeySeparator);
                        Append(member.Value, level + 1);
                    }
                );
                break;
            default:
                throw new JinjaException(line, $"{Values.TypeOf(value)} has no JSON.");
        }
    }

    private void AppendAll<T>(char open, char close, List<T> items, int level, Action<T> append)
    {
        if (level > MaxDepth)
        {
            throw new JinjaException(line, $"a value is more than {MaxDepth} levels deep.");
        }

        text.Append(open);
        foreach (var (place, item) in items.Index())
        {
            text.Append(place == 0 ? "" : ItemSeparator ?? (Indent is null ? ", " : ","));
            Break(level + 1);
            append(item);
        }

        if (items.Count > 0)
        {
            Break(level);
        }

        text.Append(close);
    }

    private void Break(int level)
    {
        if (Indent is { } spaces)
        {
            text.Append('\n').Append(' ', Math.Clamp(spaces, 0, 100) * level);
        }
    }

    private void AppendString(string value)
    {
        var quoted = PythonJson.Quote(value);
        if (!IsAscii)
        {
            text.Append(quoted);
            return;
        }

        foreach (var c in quoted)
        {
            _ = c < 0x7f ? text.Append(c) : text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
        }
    }
}
