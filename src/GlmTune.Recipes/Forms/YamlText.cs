using GlmTune.Recipes.Configuration;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace GlmTune.Recipes.Forms;

/// <summary>Reads and changes single keys of a YAML text and leaves the rest, with its comments, as it is.</summary>
internal static class YamlText
{
    private const int IndentSize = 2;

    /// <summary>The values of a text as one would write them, by the keys' full names; nested mappings are given key
    /// by key. Empty if the text is not a mapping.</summary>
    public static IReadOnlyDictionary<string, string> Values(string text)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        if (TryRead(text) is { } root)
        {
            Collect(root, "", values, text);
        }

        return values;
    }

    /// <summary>Sets a key, in its place if it is there, otherwise at the end of its section.</summary>
    /// <param name="text">The YAML text.</param>
    /// <param name="path">Full name of the key, with dots.</param>
    /// <param name="value">The value as it is typed: a word or number, or YAML in <c>[…]</c>, <c>{…}</c> or quotes;
    /// null removes the key.</param>
    /// <returns>The changed text.</returns>
    /// <exception cref="InvalidDataException">The text is not YAML, or is written in a way in which this key cannot be
    /// set.</exception>
    public static string Set(string text, string path, string? value)
    {
        text = text.ReplaceLineEndings("\n");
        var root = TryRead(text);
        if (root is null && text.Split('\n').Any(line => line.Trim() is { Length: > 0 } word && word[0] != '#'))
        {
            throw new InvalidDataException(
                $"'{path}' cannot be set here: the text is not a YAML mapping. Mend it first."
            );
        }

        var edited =
            value is null ? Remove(text, root, path.Split('.'))
            : root is null ? Append(text, Nested(path.Split('.'), Written(value), 0))
            : Set(text, root, path.Split('.'), Written(value));
        var (before, after) = (Values(text), Values(edited));
        if (
            (value is null ? after.ContainsKey(path) : !after.ContainsKey(path))
            || before.Any(old => !Concerns(old.Key, path) && after.GetValueOrDefault(old.Key) != old.Value)
        )
        {
            throw CannotChange(path);
        }

        return edited;
    }

    private static InvalidDataException CannotChange(string path) =>
        new($"'{path}' cannot be changed from the form here; change it in the text.");

    private static bool Concerns(string key, string path) =>
        key == path
        || key.StartsWith(path + ".", StringComparison.Ordinal)
        || path.StartsWith(key + ".", StringComparison.Ordinal);

    private static string Set(string text, Node map, string[] path, string value)
    {
        for (var depth = 0; ; depth++)
        {
            if (map.Entries!.Find(entry => entry.Key == path[depth]) is not { } entry)
            {
                return Insert(text, map, path[depth..], value);
            }

            if (depth == path.Length - 1)
            {
                return Replace(text, entry, value);
            }

            if (entry.Value.Entries is null)
            {
                if (!entry.Value.IsNull)
                {
                    throw CannotChange(string.Join('.', path));
                }

                // "training_args:" without anything, or with null.
                var colon = text.IndexOf(':', entry.KeyEnd);
                text = text[..(colon + 1)] + text[Math.Max(colon + 1, entry.Value.LastEnd)..];
                return text.Insert(
                    LineEnd(text, colon),
                    "\n" + Nested(path[(depth + 1)..], value, entry.Column + IndentSize).TrimEnd('\n')
                );
            }

            map = entry.Value;
        }
    }

    private static string Replace(string text, Entry entry, string value)
    {
        var colon = text.IndexOf(':', entry.KeyEnd);
        var end = Math.Max(entry.Value.LastEnd, colon + 1);
        var space = value.Length == 0 ? "" : " ";
        // A list or mapping of several lines becomes one line.
        return entry.Value is { IsScalar: true } && entry.Value.Start > colon && entry.Value.End > entry.Value.Start
            ? text[..entry.Value.Start] + value + text[entry.Value.End..]
            : text[..(colon + 1)] + space + value + text[end..];
    }

    private static string Insert(string text, Node map, string[] path, string value)
    {
        if (map.IsFlow)
        {
            var last = map.Entries!.Count == 0 ? map.Start + 1 : map.Entries[^1].Value.LastEnd;
            return text.Insert(last, (map.Entries.Count == 0 ? "" : ", ") + Flow(path, value));
        }

        var at = LineEnd(text, map.LastEnd);
        return text.Insert(at, "\n" + Nested(path, value, map.Column).TrimEnd('\n'));
    }

    private static string Flow(string[] path, string value) =>
        path.Length == 1 ? $"{path[0]}: {value}" : $"{path[0]}: {{{Flow(path[1..], value)}}}";

    private static string Remove(string text, Node? map, string[] path)
    {
        var parents = new List<Entry>();
        for (var depth = 0; map is not null; depth++)
        {
            if (map.Entries?.Find(entry => entry.Key == path[depth]) is not { } entry)
            {
                return text;
            }

            if (depth == path.Length - 1)
            {
                return map.IsFlow ? RemoveFlow(text, map, entry) : RemoveLines(text, entry);
            }

            parents.Add(entry);
            map = entry.Value;
        }

        return text;
    }

    private static string RemoveLines(string text, Entry entry)
    {
        var start = text.LastIndexOf('\n', Math.Max(0, entry.KeyStart - 1)) + 1;
        var end = LineEnd(text, Math.Max(entry.Value.LastEnd, entry.KeyEnd));
        return text[..start] + text[Math.Min(text.Length, end + 1)..];
    }

    private static string RemoveFlow(string text, Node map, Entry entry)
    {
        var place = map.Entries!.IndexOf(entry);
        return place + 1 < map.Entries.Count ? text[..entry.KeyStart] + text[map.Entries[place + 1].KeyStart..]
            : place > 0 ? text[..map.Entries[place - 1].Value.LastEnd] + text[entry.Value.LastEnd..]
            : text[..entry.KeyStart] + text[entry.Value.LastEnd..];
    }

    private static string Append(string text, string lines) =>
        text.Length == 0 || text[^1] == '\n' ? text + lines : text + "\n" + lines;

    private static string Nested(string[] path, string value, int indent)
    {
        var lines = path.Select(
            (key, depth) =>
                new string(' ', indent + (depth * IndentSize))
                + key
                + (depth == path.Length - 1 ? $": {value}" : ":")
                + "\n"
        );
        return string.Concat(lines);
    }

    private static int LineEnd(string text, int from)
    {
        var end = from >= text.Length ? -1 : text.IndexOf('\n', from);
        return end < 0 ? text.Length : end;
    }

    // As --set reads a value: YAML where it begins so, otherwise the characters themselves.
    private static string Written(string value)
    {
        var text = value.Trim().ReplaceLineEndings(" ");
        if (text.Length > 0 && "[{'\"".Contains(text[0], StringComparison.Ordinal))
        {
            return text;
        }

        var problems = new Problems();
        var isPlain =
            text.Length > 0
            && YamlTree.Read(new StringReader($"a: {text}\n"), "", problems) is ConfigMap map
            && problems.IsEmpty
            && map.Entries.Count() == 1
            && map.Find("a")?.Value is ConfigText same
            && same.Text == text;
        return isPlain ? text : $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
    }

    private static void Collect(Node map, string path, Dictionary<string, string> values, string text)
    {
        foreach (var entry in map.Entries!)
        {
            var full = path.Length == 0 ? entry.Key : $"{path}.{entry.Key}";
            if (entry.Value.Entries is not null)
            {
                Collect(entry.Value, full, values, text);
            }
            else
            {
                values.TryAdd(full, entry.Value.Text);
            }
        }
    }

    // Null if it is not a mapping. Aliases are values like any other.
    private static Node? TryRead(string text)
    {
        try
        {
            var parser = new Parser(new Scanner(new StringReader(text), skipComments: true));
            parser.Consume<StreamStart>();
            return parser.TryConsume<DocumentStart>(out _) && Read(parser) is { Entries: not null } root ? root : null;
        }
        catch (Exception error) when (error is YamlException or InvalidOperationException)
        {
            return null;
        }
    }

    private static Node Read(Parser parser)
    {
        var start = parser.Consume<ParsingEvent>();
        switch (start)
        {
            case MappingStart mapping:
                return ReadMap(parser, mapping);
            case SequenceStart sequence:
                List<Node> items = [];
                while (parser.Current is not SequenceEnd)
                {
                    items.Add(Read(parser));
                }

                var end = parser.Consume<SequenceEnd>();
                var isFlow = sequence.Style == SequenceStyle.Flow;
                return new Node(Index(start.Start), Index(end.End))
                {
                    LastEnd = isFlow || items.Count == 0 ? Index(end.End) : items[^1].LastEnd,
                    Text = $"[{string.Join(", ", items.Select(item => item.Text))}]",
                };
            case Scalar scalar:
                return new Node(Index(start.Start), Index(start.End))
                {
                    LastEnd = Index(start.End),
                    IsScalar = true,
                    IsNull = new ConfigText(scalar.Value, scalar.Style != ScalarStyle.Plain, new("", 0)).IsNull,
                    Text = scalar.Value,
                };
            default:
                return new Node(Index(start.Start), Index(start.End)) { LastEnd = Index(start.End), Text = $"{start}" };
        }
    }

    private static Node ReadMap(Parser parser, MappingStart mapping)
    {
        List<Entry> entries = [];
        while (parser.Current is not MappingEnd)
        {
            var key = parser.Consume<Scalar>();
            entries.Add(
                new Entry(key.Value, Index(key.Start), Index(key.End), (int)key.Start.Column - 1, Read(parser))
            );
        }

        var end = parser.Consume<MappingEnd>();
        var isFlow = mapping.Style == MappingStyle.Flow;
        return new Node(Index(mapping.Start), Index(end.End))
        {
            Entries = entries,
            IsFlow = isFlow,
            Column = entries.Count > 0 ? entries[0].Column : (int)mapping.Start.Column - 1,
            LastEnd =
                isFlow || entries.Count == 0
                    ? Index(end.End)
                    : Math.Max(entries[^1].KeyEnd + 1, entries[^1].Value.LastEnd),
            Text = "{}",
        };
    }

    private static int Index(Mark mark) => (int)mark.Index;

    // Offsets in the text. LastEnd is where the last character of the value stands: a block ends, for the parser, where
    // the next one begins.
    private sealed record Node(int Start, int End)
    {
        public int LastEnd { get; init; }

        public bool IsScalar { get; init; }

        public bool IsNull { get; init; }

        public bool IsFlow { get; init; }

        public int Column { get; init; }

        public string Text { get; init; } = "";

        public List<Entry>? Entries { get; init; }
    }

    private sealed record Entry(string Key, int KeyStart, int KeyEnd, int Column, Node Value);
}
