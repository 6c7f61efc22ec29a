using System.Globalization;

namespace GlmTune.Data.Templates.Jinja;

/// <summary>Methods of texts and objects that templates call. None changes its object.</summary>
internal static class Methods
{
    /// <summary>Calls one.</summary>
    /// <exception cref="JinjaException">The method is not supported, or does not accept its arguments.</exception>
    public static object? Call(
        int line,
        object? of,
        string name,
        IReadOnlyList<object?> given,
        IReadOnlyDictionary<string, object?> named,
        RenderWork work
    )
    {
        switch (of)
        {
            case string text:
                return OfText(line, text, name, given, work);
            case OrderedDictionary<string, object?> members:
                return OfObject(line, members, name, given, named);
            case Undefined undefined:
                throw new JinjaException(line, $"'{undefined.Name}' is undefined, so it has no '{name}'.");
            default:
                throw new JinjaException(line, $"{Values.TypeOf(of)} has no method '{name}' here.");
        }
    }

    private static object? OfObject(
        int line,
        OrderedDictionary<string, object?> members,
        string name,
        IReadOnlyList<object?> given,
        IReadOnlyDictionary<string, object?> named
    ) =>
        name switch
        {
            "items" => members.Select(member => (object?)new TupleValue([member.Key, member.Value])).ToList(),
            "keys" => members.Keys.Select(key => (object?)key).ToList(),
            "values" => members.Values.ToList(),
            "get" when given.Count is 1 or 2 => given[0] is string key && members.TryGetValue(key, out var value)
                ? value
                : given.ElementAtOrDefault(1) ?? named.GetValueOrDefault("default"),
            _ when members.TryGetValue(name, out var member) && member is Callable callable => callable(
                line,
                given,
                named
            ),
            _ => throw new JinjaException(line, $"an object has no method '{name}' here."),
        };

    private static object? OfText(int line, string text, string name, IReadOnlyList<object?> given, RenderWork work)
    {
        string Text(int place) =>
            given.ElementAtOrDefault(place) as string
            ?? throw new JinjaException(line, $"'{name}' takes a string as value {place + 1}.");
        var characters = given.Count > 0 && given[0] is string chosen ? chosen.ToCharArray() : null;
        work.Size(line, text.Length);
        return name switch
        {
            "strip" => characters is null ? text.Trim() : text.Trim(characters),
            "lstrip" => characters is null ? text.TrimStart() : text.TrimStart(characters),
            "rstrip" => characters is null ? text.TrimEnd() : text.TrimEnd(characters),
            "upper" => text.ToUpperInvariant(),
            "lower" => text.ToLowerInvariant(),
            "title" => Title(text),
            "capitalize" => Capitalize(text),
            "startswith" => Starts(line, given, part => text.StartsWith(part, StringComparison.Ordinal)),
            "endswith" => Starts(line, given, part => text.EndsWith(part, StringComparison.Ordinal)),
            "removeprefix" => text.StartsWith(Text(0), StringComparison.Ordinal) ? text[Text(0).Length..] : text,
            "removesuffix" => text.EndsWith(Text(0), StringComparison.Ordinal) ? text[..^Text(0).Length] : text,
            "replace" => Replace(line, text, Text(0), Text(1), given.Count > 2 ? Values.Whole(given[2]) : null, work),
            "split" or "rsplit" => Split(line, text, given, name == "rsplit"),
            "splitlines" => text.Length == 0
                ? new List<object?>()
                : (text.EndsWith('\n') ? text[..^1] : text).Split('\n').Select(part => (object?)part).ToList(),
            "find" => Characters(text, text.IndexOf(Text(0), StringComparison.Ordinal)),
            "count" => (long)Occurrences(text, Text(0)),
            "isdigit" => text.Length > 0 && text.All(char.IsDigit),
            "isalpha" => text.Length > 0 && text.All(char.IsLetter),
            "isspace" => text.Length > 0 && text.All(char.IsWhiteSpace),
            "isupper" => text.Any(char.IsUpper) && !text.Any(char.IsLower),
            "islower" => text.Any(char.IsLower) && !text.Any(char.IsUpper),
            "join" => Filters.Join(line, given.Count == 1 ? given[0] : null, text, work),
            _ => throw new JinjaException(line, $"a string has no method '{name}' here."),
        };
    }

    /// <summary>Every occurrence replaced, or the first ones.</summary>
    public static string Replace(int line, string text, string old, string by, long? most, RenderWork work)
    {
        if (old.Length == 0)
        {
            throw new JinjaException(line, "an empty text cannot be replaced.");
        }

        var times = Occurrences(text, old);
        var replaced = most is >= 0 and var limit && limit < times ? (int)limit : times;
        work.Size(line, text.Length + ((long)replaced * Math.Max(0, by.Length - old.Length)));
        if (replaced == times)
        {
            return text.Replace(old, by, StringComparison.Ordinal);
        }

        var parts = text.Split(old, replaced + 1);
        return string.Join(by, parts);
    }

    public static string Title(string text) =>
        CultureInfo.InvariantCulture.TextInfo.ToTitleCase(text.ToLowerInvariant());

    public static string Capitalize(string text) =>
        text.Length == 0 ? "" : text[..1].ToUpperInvariant() + text[1..].ToLowerInvariant();

    private static bool Starts(int line, IReadOnlyList<object?> given, Predicate<string> has) =>
        given switch
        {
            [string part] => has(part),
            [List<object?> parts] => parts.OfType<string>().Any(part => has(part)),
            _ => throw new JinjaException(line, "'startswith' and 'endswith' take a string."),
        };

    private static List<object?> Split(int line, string text, IReadOnlyList<object?> given, bool fromEnd)
    {
        var most =
            given.Count > 1 && Values.Whole(given[1]) is >= 0 and var limit
                ? (int)Math.Min(limit, int.MaxValue - 1)
                : int.MaxValue - 1;
        if (given.Count == 0 || given[0] is null)
        {
            var words = text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            return most >= words.Length
                ? [.. words]
                : throw new JinjaException(line, "'split' at spaces takes no limit here.");
        }

        if (given[0] is not string { Length: > 0 } separator)
        {
            throw new JinjaException(line, "'split' takes a separator that is not empty.");
        }

        if (!fromEnd)
        {
            return [.. text.Split(separator, most + 1)];
        }

        List<object?> parts = [];
        var end = text.Length;
        while (
            parts.Count < most
            && end > 0
            && text.LastIndexOf(separator, end - 1, StringComparison.Ordinal) is >= 0 and var place
            && place + separator.Length <= end
        )
        {
            parts.Add(text[(place + separator.Length)..end]);
            end = place;
        }

        parts.Add(text[..end]);
        parts.Reverse();
        return parts;
    }

    private static long Characters(string text, int place) =>
        place < 0 ? -1 : text.AsSpan(0, place).ToString().EnumerateRunes().Count();

    private static int Occurrences(string text, string part)
    {
        if (part.Length == 0)
        {
            return text.Length + 1;
        }

        var count = 0;
        for (
            var place = text.IndexOf(part, StringComparison.Ordinal);
            place >= 0;
            place = text.IndexOf(part, place + part.Length, StringComparison.Ordinal)
        )
        {
            count++;
        }

        return count;
    }
}
