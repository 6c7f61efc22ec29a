using System.Reflection;

namespace GlmTune.Cli.Language;

/// <summary>Translates the program's English messages where they are shown, so that everything below the command line
/// has one text.</summary>
/// <remarks>A message without an entry stays English as a whole. Thread-safe.</remarks>
internal sealed class Catalogue
{
    private const int MaxCharacters = 4000;
    private const int MaxDepth = 12;

    private static readonly Lazy<Catalogue> Loaded = new(() => new Catalogue(ReadAll("zh")));

    private readonly List<Template> templates;

    /// <param name="templates">The entries.</param>
    public Catalogue(IEnumerable<Template> templates) =>
        this.templates = [
            .. templates.OrderByDescending(template => template.Weight).ThenByDescending(template => template.Messages),
        ];

    /// <summary>The Chinese catalogue; read at its first use.</summary>
    public static Catalogue Chinese => Loaded.Value;

    /// <summary>The entries.</summary>
    public IReadOnlyList<Template> Templates => templates;

    /// <summary>Reads entries: an English line, then its translation, indented; <c>#</c> starts a comment.</summary>
    /// <exception cref="FormatException">A line is out of place, or an entry is wrong.</exception>
    public static IEnumerable<Template> Read(TextReader file)
    {
        string? english = null;
        while (file.ReadLine() is { } line)
        {
            if (line.StartsWith("  ", StringComparison.Ordinal))
            {
                yield return new Template(
                    english ?? throw new FormatException($"'{line.Trim()}' translates nothing."),
                    line[2..]
                );
                english = null;
            }
            else if (line.Length > 0 && line[0] != '#')
            {
                english = english is null ? line : throw new FormatException($"'{english}' has no translation.");
            }
        }

        if (english is not null)
        {
            throw new FormatException($"'{english}' has no translation.");
        }
    }

    /// <summary>Translates a text line by line; a line without a translation is kept.</summary>
    public string Lines(string text) =>
        text.Length is 0 or > MaxCharacters ? text : string.Join('\n', text.Split('\n').Select(Line));

    /// <summary>The translation of one message; null if it has none.</summary>
    public string? Find(string text) => new Search(this).Find(text, 0);

    // The spaces around a line are its layout.
    private string Line(string line)
    {
        var text = line.AsSpan().Trim().ToString();
        if (text.Length == 0 || Find(text) is not { } translated)
        {
            return line;
        }

        var start = line.IndexOf(text, StringComparison.Ordinal);
        return line[..start] + translated + line[(start + text.Length)..];
    }

    private static IEnumerable<Template> ReadAll(string language)
    {
        var assembly = Assembly.GetExecutingAssembly();
        foreach (var name in assembly.GetManifestResourceNames().Order(StringComparer.Ordinal))
        {
            if (name.StartsWith($"language/{language}/", StringComparison.Ordinal))
            {
                using var file = new StreamReader(assembly.GetManifestResourceStream(name)!);
                foreach (var template in Read(file))
                {
                    yield return template;
                }
            }
        }
    }

    // One search, which translates no text twice.
    private sealed class Search(Catalogue catalogue)
    {
        private readonly Dictionary<string, string?> known = new(StringComparer.Ordinal);

        public string? Find(string text, int depth)
        {
            if (depth > MaxDepth || text.Length == 0)
            {
                return null;
            }

            if (!known.TryGetValue(text, out var translated))
            {
                known[text] = null;
                known[text] = translated = Whole(text, depth) ?? WithoutStop(text, depth) ?? Sentences(text, depth);
            }

            return translated;
        }

        private string? Whole(string text, int depth)
        {
            foreach (var template in catalogue.templates)
            {
                if (template.MayMatch(text) && template.Translate(text, inner => Find(inner, depth + 1)) is { } found)
                {
                    return found;
                }
            }

            return null;
        }

        // An entry without a full stop serves messages with and without one.
        private string? WithoutStop(string text, int depth) =>
            text[^1] == '.' && text.Length > 1 && Whole(text[..^1], depth) is { } translated ? translated + "。" : null;

        // Messages are often put together of sentences.
        private string? Sentences(string text, int depth)
        {
            for (var at = text.IndexOf(' ', 1); at > 0 && at < text.Length - 1; at = text.IndexOf(' ', at + 1))
            {
                if (
                    text[at - 1] is '.' or '?'
                    && (Whole(text[..at], depth + 1) ?? WithoutStop(text[..at], depth + 1)) is { } first
                    && Find(text[(at + 1)..], depth + 1) is { } rest
                )
                {
                    return first + rest;
                }
            }

            return null;
        }
    }
}
