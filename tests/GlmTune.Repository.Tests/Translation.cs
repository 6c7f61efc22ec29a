namespace GlmTune.Repository.Tests;

/// <summary>A page and its Chinese translation, and where their structure differs.</summary>
/// <param name="english">The page.</param>
/// <param name="chinese">Its translation.</param>
/// <param name="translationOf">The translation of a file; null for one that has none.</param>
/// <param name="read">Reads a page that a link leads to.</param>
internal sealed class Translation(
    MarkdownPage english,
    MarkdownPage chinese,
    Func<string, string?> translationOf,
    Func<string, MarkdownPage> read
)
{
    /// <summary>Heading of the glossary: a section without an English counterpart.</summary>
    public const string Glossary = "术语对照";

    private readonly MarkdownSection[] originals = [.. english.Sections];
    private readonly MarkdownSection[] translated = [.. chinese.Sections.Where(section => section.Title != Glossary)];

    /// <summary>One line for each difference: where it is, and what each page has.</summary>
    public IReadOnlyList<string> Differences()
    {
        var levels = originals.Select(section => section.Level).ToArray();
        var differences = HeadingDifference(levels, [.. translated.Select(section => section.Level)]);
        return differences.Length > 0 ? differences : [.. originals.Zip(translated).SelectMany(SectionDifferences)];
    }

    private static string Describe(MarkdownSection[] sections, int index) =>
        index < sections.Length ? $"{new string('#', sections[index].Level)} {sections[index].Title}" : "nothing";

    // Sections cannot be told apart behind the first heading that differs.
    private string[] HeadingDifference(int[] expected, int[] found)
    {
        if (expected.SequenceEqual(found))
        {
            return [];
        }

        var same = expected.Zip(found).TakeWhile(pair => pair.First == pair.Second).Count();
        return
        [
            $"{chinese.File}: heading {same + 1} is '{Describe(translated, same)}'; "
                + $"{english.File} has '{Describe(originals, same)}'",
        ];
    }

    private IEnumerable<string> SectionDifferences((MarkdownSection Original, MarkdownSection Translated) pair)
    {
        var (original, section) = pair;
        var where = $"{chinese.File}, '{section.Title}' ({english.File}, '{original.Title}')";
        if (!original.Blocks.SequenceEqual(section.Blocks))
        {
            return
            [
                $"{where}: the blocks are [{string.Join(", ", section.Blocks)}]; "
                    + $"in English [{string.Join(", ", original.Blocks)}]",
            ];
        }

        return
        [
            .. original
                .CodeBlocks.Zip(section.CodeBlocks)
                .SelectMany(CodeDifferences)
                .Select(text => $"{where}: {text}"),
            .. original.Rows.Zip(section.Rows).SelectMany(RowDifferences).Select(text => $"{where}: {text}"),
            .. MissingAndExtra("code", original.Codes, section.Codes).Select(text => $"{where}: {text}"),
            .. MissingAndExtra("link", ExpectedLinks(original), FoundLinks(section)).Select(text => $"{where}: {text}"),
        ];
    }

    private static IEnumerable<string> CodeDifferences((CodeText Original, CodeText Translated) pair, int index)
    {
        var (expected, found) = (pair.Original.LinesWithoutComments, pair.Translated.LinesWithoutComments);
        if (pair.Original.Language != pair.Translated.Language)
        {
            yield return $"code block {index + 1} is '{pair.Translated.Language}'; in English "
                + $"'{pair.Original.Language}'";
        }

        for (var line = 0; line < Math.Max(expected.Count, found.Count); line++)
        {
            var (original, translated) = (expected.ElementAtOrDefault(line), found.ElementAtOrDefault(line));
            if (original != translated)
            {
                yield return $"code block {index + 1}, line {line + 1} is '{translated}'; in English '{original}'";
                yield break;
            }
        }
    }

    private static IEnumerable<string> RowDifferences(
        (IReadOnlyList<string> Original, IReadOnlyList<string> Translated) pair,
        int index
    ) => MissingAndExtra($"code in table row {index}", pair.Original, pair.Translated);

    private static IEnumerable<string> MissingAndExtra(
        string what,
        IReadOnlyList<string> expected,
        IReadOnlyList<string> found
    )
    {
        var (missing, extra) = (expected.Except(found).ToArray(), found.Except(expected).ToArray());
        return missing.Length + extra.Length == 0
            ? []
            : [$"{what} missing: [{string.Join(", ", missing)}], not in English: [{string.Join(", ", extra)}]"];
    }

    // A page links to its counterpart, and otherwise to pages in its own language where there are any.
    private List<string> ExpectedLinks(MarkdownSection section) =>
        [.. section.Links.Select(address => Expected(address)).Order(StringComparer.Ordinal)];

    private string Expected(string address)
    {
        if (!MarkdownPage.IsLocal(address))
        {
            return address;
        }

        var (file, heading) = english.Target(address);
        if (file == chinese.File)
        {
            return english.File;
        }

        return translationOf(file) is { } translation
            ? translation + Anchor(heading, file, translation)
            : file + (heading is null ? "" : $"#{heading}");
    }

    private string Anchor(string? heading, string file, string translation)
    {
        if (heading is null)
        {
            return "";
        }

        var index = read(file).Headings.ToList().IndexOf(heading);
        return $"#{read(translation).Headings.ElementAtOrDefault(index)}";
    }

    private List<string> FoundLinks(MarkdownSection section) =>
        [.. section.Links.Select(address => Found(address)).Order(StringComparer.Ordinal)];

    private string Found(string address)
    {
        if (!MarkdownPage.IsLocal(address))
        {
            return address;
        }

        var (file, heading) = chinese.Target(address);
        return file + (heading is null ? "" : $"#{heading}");
    }
}
