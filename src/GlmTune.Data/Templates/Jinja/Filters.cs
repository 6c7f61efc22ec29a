using System.Globalization;
using System.Text;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>What may follow <c>|</c>: Jinja's filters, with <c>tojson</c> as the transformers library defines
/// it.</summary>
internal static class Filters
{
    /// <summary>Applies one.</summary>
    /// <exception cref="JinjaException">The filter is not supported, or does not accept the value.</exception>
    public static object? Apply(
        int line,
        string name,
        object? value,
        IReadOnlyList<object?> given,
        IReadOnlyDictionary<string, object?> named,
        RenderWork work
    )
    {
        object? Argument(int place, string key) => ArgumentOf(given, named, place, key);
        string Text() => value is Undefined ? "" : Values.Print(value);
        switch (name)
        {
            case "tojson":
                return ToJson(line, value, given, named, work);
            case "trim":
                return Argument(0, "chars") is string chosen ? Text().Trim(chosen.ToCharArray()) : Text().Trim();
            case "upper":
                return Text().ToUpperInvariant();
            case "lower":
                return Text().ToLowerInvariant();
            case "title":
                return Methods.Title(Text());
            case "capitalize":
                return Methods.Capitalize(Text());
            case "string":
                return Text();
            case "safe":
                return value;
            case "length" or "count":
                return value switch
                {
                    string text => text.EnumerateRunes().LongCount(),
                    List<object?> list => (long)list.Count,
                    OrderedDictionary<string, object?> members => (long)members.Count,
                    Undefined => 0L,
                    _ => throw new JinjaException(line, $"{Values.TypeOf(value)} has no length."),
                };
            case "default" or "d":
                return value is Undefined || (Values.IsTrue(Argument(1, "boolean")) && !Values.IsTrue(value))
                    ? given.Count > 0 || named.ContainsKey("default_value")
                        ? Argument(0, "default_value")
                        : ""
                    : value;
            case "int":
                return ToInteger(value, Argument(0, "default"));
            case "float":
                return Values.Number(value)
                    ?? (
                        double.TryParse(value as string, NumberStyles.Float, CultureInfo.InvariantCulture, out var read)
                            ? read
                            : Argument(0, "default") ?? 0.0
                    );
            case "abs":
                return value is double number ? (object)Math.Abs(number)
                    : Values.Whole(value) is > long.MinValue and var whole ? (object)Math.Abs(whole)
                    : throw new JinjaException(line, $"{Values.TypeOf(value)} has no absolute value.");
            case "replace":
                return Methods.Replace(
                    line,
                    Text(),
                    Values.Print(Argument(0, "old")),
                    Values.Print(Argument(1, "new")),
                    Values.Whole(Argument(2, "count")),
                    work
                );
            case "indent":
                return Indent(
                    line,
                    Text(),
                    Argument(0, "width"),
                    Values.IsTrue(Argument(1, "first")),
                    Values.IsTrue(Argument(2, "blank")),
                    work
                );
            case "join":
                return Join(
                    line,
                    Argument(1, "attribute") is string attribute ? Map(line, Items(line, value), attribute) : value,
                    Values.Print(Argument(0, "d") ?? ""),
                    work
                );
            case "list":
                return Items(line, value);
            case "first":
                return Items(line, value) is [var first, ..] ? first : new Undefined("the first item");
            case "last":
                return Items(line, value) is [.., var last] ? last : new Undefined("the last item");
            case "reverse":
                return value is string reversed
                    ? string.Concat(Values.Characters(reversed).AsEnumerable().Reverse())
                    : Items(line, value).AsEnumerable().Reverse().ToList();
            case "unique":
                return Unique(Items(line, value), work, line);
            case "sort":
                return Sorted(
                    line,
                    Items(line, value),
                    Argument(2, "attribute") as string,
                    Values.IsTrue(Argument(0, "reverse"))
                );
            case "sum":
                return Items(line, value)
                    .Aggregate(
                        Argument(1, "start") ?? (object?)0L,
                        (sum, item) => Operations.Binary(line, "+", sum, item, work)
                    );
            case "items":
                return value is Undefined ? new List<object?>() : Methods.Call(line, value, "items", [], named, work);
            case "dictsort":
                return Sorted(line, (List<object?>)Methods.Call(line, value, "items", [], named, work)!, "0", false);
            case "map":
                return Argument(-1, "attribute") is string mapped
                    ? Map(line, Items(line, value), mapped, named)
                    : Items(line, value)
                        .Select(item => Apply(line, Name(line, given), item, [.. given.Skip(1)], NoNames, work))
                        .ToList();
            case "select" or "reject":
                return Items(line, value)
                    .Where(item =>
                        (
                            given.Count == 0
                                ? Values.IsTrue(item)
                                : Checks.Holds(line, Name(line, given), item, [.. given.Skip(1)])
                        ) == (name == "select")
                    )
                    .ToList();
            case "selectattr" or "rejectattr":
                return Items(line, value)
                    .Where(item =>
                        Member(line, item, Name(line, given)) is var member
                        && (
                            given.Count == 1
                                ? Values.IsTrue(member)
                                : Checks.Holds(line, Name(line, [.. given.Skip(1)]), member, [.. given.Skip(2)])
                        ) == (name == "selectattr")
                    )
                    .ToList();
            default:
                throw new JinjaException(line, $"the filter '{name}' is not supported.");
        }
    }

    private static readonly Dictionary<string, object?> NoNames = [];

    private static object? ArgumentOf(
        IReadOnlyList<object?> given,
        IReadOnlyDictionary<string, object?> named,
        int place,
        string key
    ) => named.TryGetValue(key, out var argument) ? argument : given.ElementAtOrDefault(place);

    /// <summary>The items of a list, the characters of a text, or the keys of an object.</summary>
    /// <exception cref="JinjaException">It has none.</exception>
    public static List<object?> Items(int line, object? value) =>
        value switch
        {
            List<object?> list => list,
            string text => [.. Values.Characters(text)],
            OrderedDictionary<string, object?> members => [.. members.Keys],
            Undefined => [],
            _ => throw new JinjaException(line, $"{Values.TypeOf(value)} has no items."),
        };

    /// <summary>Items as one text.</summary>
    public static string Join(int line, object? value, string separator, RenderWork work)
    {
        var texts = Items(line, value).ConvertAll(Values.Print);
        work.Size(line, texts.Sum(text => (long)text.Length + separator.Length));
        return string.Join(separator, texts);
    }

    private static string ToJson(
        int line,
        object? value,
        IReadOnlyList<object?> given,
        IReadOnlyDictionary<string, object?> named,
        RenderWork work
    )
    {
        object? Argument(int place, string key) => ArgumentOf(given, named, place, key);
        if (
            named.Keys.FirstOrDefault(key => key is not ("ensure_ascii" or "indent" or "separators" or "sort_keys")) is
            { } other
        )
        {
            throw new JinjaException(line, $"'tojson' does not take '{other}'.");
        }

        var writer = new JsonWriter(line, work)
        {
            IsAscii = Values.IsTrue(Argument(0, "ensure_ascii")),
            Indent = (int?)Values.Whole(Argument(1, "indent")),
            SortsKeys = Values.IsTrue(Argument(3, "sort_keys")),
        };
        if (Argument(2, "separators") is List<object?> and [string item, string key])
        {
            (writer.ItemSeparator, writer.KeySeparator) = (item, key);
        }

        return writer.Write(value);
    }

    private static object? ToInteger(object? value, object? otherwise) =>
        value switch
        {
            double number when double.IsFinite(number) && Math.Abs(number) < 9e18 => (long)number,
            string text
                when long.TryParse(
                    text.Trim(),
                    NumberStyles.AllowLeadingSign,
                    CultureInfo.InvariantCulture,
                    out var whole
                ) => whole,
            _ => Values.Whole(value) ?? otherwise ?? 0L,
        };

    private static string Indent(int line, string text, object? width, bool first, bool blank, RenderWork work)
    {
        var spaces = width as string ?? new string(' ', (int)Math.Clamp(Values.Whole(width) ?? 4, 0, 1000));
        var lines = text.Split('\n');
        work.Size(line, text.Length + ((long)lines.Length * spaces.Length));
        var indented = new StringBuilder();
        foreach (var (number, each) in lines.Index())
        {
            indented.Append(number == 0 ? "" : "\n");
            indented
                .Append(
                    number == 0
                        ? first
                            ? spaces
                            : ""
                        : each.Length > 0 || blank
                            ? spaces
                            : ""
                )
                .Append(each);
        }

        return indented.ToString();
    }

    private static List<object?> Map(
        int line,
        List<object?> items,
        string attribute,
        IReadOnlyDictionary<string, object?>? named = null
    ) =>
        items.ConvertAll(item =>
            Member(line, item, attribute) is Undefined && named?.TryGetValue("default", out var otherwise) == true
                ? otherwise
                : Member(line, item, attribute)
        );

    private static object? Member(int line, object? item, string path)
    {
        foreach (var key in path.Split('.'))
        {
            item = item switch
            {
                OrderedDictionary<string, object?> members => members.TryGetValue(key, out var value)
                    ? value
                    : new Undefined(key),
                List<object?> list
                    when int.TryParse(key, NumberStyles.None, CultureInfo.InvariantCulture, out var place) => place
                < list.Count
                    ? list[place]
                    : new Undefined(key),
                Undefined undefined => throw new JinjaException(
                    line,
                    $"'{undefined.Name}' is undefined, so it has no '{key}'."
                ),
                _ => new Undefined(key),
            };
        }

        return item;
    }

    private static List<object?> Unique(List<object?> items, RenderWork work, int line)
    {
        List<object?> unique = [];
        foreach (var item in items)
        {
            work.Size(line, unique.Count * 64L);
            if (!unique.Exists(known => Values.AreEqual(known, item)))
            {
                unique.Add(item);
            }
        }

        return unique;
    }

    private static List<object?> Sorted(int line, List<object?> items, string? attribute, bool reverse)
    {
        object? Key(object? item)
        {
            var key = attribute is null ? item : Member(line, item, attribute);
            return key is string text ? text.ToLowerInvariant() : key;
        }

        var order = Comparer<object?>.Create((x, y) => Operations.Compare(line, x, y));
        try
        {
            return [.. reverse ? items.OrderByDescending(Key, order) : items.OrderBy(Key, order)];
        }
        catch (InvalidOperationException error) when (error.InnerException is JinjaException inner)
        {
            throw inner;
        }
    }

    private static string Name(int line, IReadOnlyList<object?> given) =>
        given.ElementAtOrDefault(0) as string
        ?? throw new JinjaException(line, "a filter or test is named by a string.");
}
