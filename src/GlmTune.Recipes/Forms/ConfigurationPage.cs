using System.Text.RegularExpressions;

namespace GlmTune.Recipes.Forms;

/// <summary>A row of <c>docs/configuration.md</c>.</summary>
/// <param name="Group">The line above its table, such as <c>Precision and memory</c>; empty if there is none.</param>
/// <param name="Meaning">What the key does, as text with <c>`code`</c>.</param>
internal sealed record KeyText(string Group, string Meaning);

/// <summary>The page that documents every key, read back: what a form says about a key is what the documentation
/// says.</summary>
/// <remarks>The page of each language has the same sections and rows in the same order; a test of the documentation
/// compares them, and another compares the rows with the keys.</remarks>
internal sealed partial class ConfigurationPage
{
    /// <summary>What the keys without a section of their own are listed under.</summary>
    private const int WholeFile = 0;

    private readonly Dictionary<(string Section, string Name), KeyText> rows = [];

    private ConfigurationPage(string text, IReadOnlyList<string>? names)
    {
        var sections = text.Split("\n##")[1..];
        Sections = names ?? [.. sections.Select((section, place) => NameOf(section, place))];
        foreach (var (section, name) in sections.Zip(Sections))
        {
            Read(section, name);
        }
    }

    /// <summary>The page in English.</summary>
    public static ConfigurationPage English { get; } = new(Text("en"), null);

    /// <summary>The page in Chinese.</summary>
    public static ConfigurationPage Chinese { get; } = new(Text("zh"), English.Sections);

    private IReadOnlyList<string> Sections { get; }

    /// <summary>What the page says about a key; null if it has no row.</summary>
    /// <param name="path">The key's full name.</param>
    public KeyText? Find(string path)
    {
        var dot = path.LastIndexOf('.');
        return rows.GetValueOrDefault((dot < 0 ? "" : path[..dot], path[(dot + 1)..]));
    }

    private static string NameOf(string section, int place) =>
        place == WholeFile ? "" : section.Split('\n')[0].Trim('#', ' ', '`');

    private static string Text(string language)
    {
        using var stream = typeof(ConfigurationPage).Assembly.GetManifestResourceStream(
            $"docs/{language}/configuration.md"
        )!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().ReplaceLineEndings("\n");
    }

    private void Read(string section, string name)
    {
        var group = "";
        foreach (var line in section.Split('\n')[1..])
        {
            if (Row().Match(line) is { Success: true } row)
            {
                rows.TryAdd((name, row.Groups["key"].Value), new KeyText(group, Plain(row.Groups["meaning"].Value)));
            }
            else if (Caption().Match(line) is { Success: true } caption)
            {
                group = caption.Groups["text"].Value.Replace("`", "", StringComparison.Ordinal);
            }
        }
    }

    private static string Plain(string cell) =>
        Link().Replace(cell, "$1").Replace(@"\|", "|", StringComparison.Ordinal).Trim();

    [GeneratedRegex(@"^\| `(?<key>[^`]+)` \|(?:[^|\\]|\\.)*\|(?<meaning>(?:[^|\\]|\\.)*)\|$")]
    private static partial Regex Row();

    // A line of its own that ends with a colon, without what stands in parentheses.
    [GeneratedRegex(@"^(?<text>[^|(（.]+?) ?(?:[(（].*[)）])?[:：]$")]
    private static partial Regex Caption();

    [GeneratedRegex(@"\[([^\]]+)\]\([^)]*\)")]
    private static partial Regex Link();
}
