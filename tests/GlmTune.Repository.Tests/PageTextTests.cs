using System.Text.RegularExpressions;

namespace GlmTune.Repository.Tests;

/// <summary>The browser pages speak both languages: no text is English alone, and none is left over.</summary>
public sealed partial class PageTextTests
{
    private const string Folder = "src/GlmTune.Server/Pages/assets/";

    private static readonly Dictionary<string, (string English, string Chinese)> Words = Entry()
        .Matches(Checkout.Text(Folder + "text.js"))
        .ToDictionary(entry => entry.Groups["key"].Value, entry => (Text(entry, "english"), Text(entry, "chinese")));

    private static readonly string[] Scripts = [.. Assets(".js").Where(file => file != Folder + "text.js")];

    private static readonly (string Attribute, string Key)[] Attributes =
    [
        ("aria-label", "data-t-label"),
        ("placeholder", "data-t-placeholder"),
    ];

    // The same in both languages, or data.
    private static readonly HashSet<string> Names = ["CSV", "GlmTune", "ROUGE", "BLEU-4", "中文"];

    [Fact]
    public void Every_text_has_a_Chinese_one_with_the_same_values()
    {
        Assert.NotEmpty(Words);
        var wrong = Words
            .Where(entry => entry.Key is not ("language" or "labelled" or "stepsOf"))
            .Where(entry => !Han().IsMatch(entry.Value.Chinese) || HalfWidth().IsMatch(entry.Value.Chinese))
            .Concat(Words.Where(entry => !Values(entry.Value.English).SequenceEqual(Values(entry.Value.Chinese))))
            .Select(entry => $"{entry.Key}: {entry.Value}");
        Assert.Empty(wrong);
    }

    [Fact]
    public void Every_line_of_the_table_is_read_here()
    {
        var text = Checkout.Text(Folder + "text.js");
        var start = text.IndexOf("const WORDS = {", StringComparison.Ordinal);
        var table = text[start..text.IndexOf("\n};", start, StringComparison.Ordinal)].Split('\n')[1..];
        Assert.Equal(table.Count(line => line.Contains('[', StringComparison.Ordinal)), Words.Count);
    }

    [Fact]
    public void Every_text_is_used_and_every_used_text_exists()
    {
        var sources = Scripts.Concat(Assets(".html")).Select(Checkout.Text).ToArray();
        var used = sources.SelectMany(source => Key().Matches(source).Select(key => key.Groups[1].Value)).ToHashSet();
        var unknown = used.Except(Words.Keys);
        Assert.Empty(unknown);
        var literals = sources.SelectMany(source => Literal().Matches(source).Select(text => text.Value.Trim('"')));
        // The states of a run or job are keys that the server sends.
        string[] states = ["running", "finished", "stopped", "failed", "lost", "starting", "stopping", "died"];
        var unused = Words.Keys.Except(literals).Except(states);
        Assert.Empty(unused);
    }

    [Fact]
    public void Scripts_show_no_text_that_is_English_alone()
    {
        var wrong = Scripts.SelectMany(file => EnglishAlone(Checkout.Text(file)).Select(text => $"{file}: {text}"));
        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("""el("p", { text: "Saved" })""", 1)]
    [InlineData("""el("p", { "aria-label": "Saved" })""", 1)]
    [InlineData("""el("p", { text: `Saved: ${name}` })""", 1)]
    [InlineData("""el("p", { text: `${t("saved")} (${name})` })""", 0)]
    [InlineData("""el("p", { class: "saved", text: "×", title: "CSV" })""", 0)]
    public void A_text_that_is_English_alone_is_found(string script, int count) =>
        Assert.Equal(count, EnglishAlone(script).Count());

    [Fact]
    public void Elements_have_a_key_for_their_text_and_begin_with_the_English_one()
    {
        var wrong = Assets(".html")
            .SelectMany(file =>
                Element()
                    .Matches(Checkout.Text(file))
                    .SelectMany(element => Untranslated(element.Groups["tag"].Value, element.Groups["text"].Value))
                    .Select(found => $"{file}: {found}")
            );
        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("""<p data-t="save">""", "Save", 0)]
    [InlineData("""<p data-t="save">""", "Keep", 1)]
    [InlineData("<p>", "Save", 1)]
    [InlineData("""<a aria-label="Save" data-t-label="save">""", "", 0)]
    [InlineData("""<a aria-label="Save">""", "", 1)]
    [InlineData("""<a placeholder="Save" data-t-label="save">""", "", 1)]
    [InlineData("<title>", "Training · GlmTune", 0)]
    public void An_element_without_its_key_or_with_another_text_is_found(string tag, string text, int count) =>
        Assert.Equal(count, Untranslated(tag, text).Count());

    private static IEnumerable<string> EnglishAlone(string script) =>
        Shown()
            .Matches(script)
            .Select(text => Placeholder().Replace(text.Groups["text"].Value, ""))
            .Where(text => Letters().IsMatch(text) && !Names.Contains(text));

    private static IEnumerable<string> Untranslated(string tag, string text)
    {
        // The title is set by the script.
        if (text.Trim().Length > 0 && tag != "<title>" && !Names.Contains(text.Trim()) && English("data-t") != text)
        {
            yield return tag + text;
        }

        foreach (var (attribute, key) in Attributes)
        {
            if (Attribute(attribute) is { } label && English(key) != label)
            {
                yield return $"{tag} {attribute}";
            }
        }

        string? English(string key) => Attribute(key) is { } name ? Words.GetValueOrDefault(name).English : null;

        string? Attribute(string name) =>
            Regex.Match(tag, $" {name}=\"([^\"]*)\"") is { Success: true } found ? found.Groups[1].Value : null;
    }

    private static IEnumerable<string> Assets(string extension) =>
        Checkout.Files.Where(file =>
            file.StartsWith(Folder, StringComparison.Ordinal) && file.EndsWith(extension, StringComparison.Ordinal)
        );

    private static string Text(Match entry, string group) => Regex.Unescape(entry.Groups[group].Value);

    private static IEnumerable<string> Values(string text) =>
        Value().Matches(text).Select(value => value.Value).Order(StringComparer.Ordinal);

    // key: ["English", "中文"],
    [GeneratedRegex(
        @"^  (?<key>\w+): \[""(?<english>(?:[^""\\]|\\.)*)"", ""(?<chinese>(?:[^""\\]|\\.)*)""\],\r?$",
        RegexOptions.Multiline
    )]
    private static partial Regex Entry();

    [GeneratedRegex(@"\p{IsCJKUnifiedIdeographs}")]
    private static partial Regex Han();

    // Punctuation of English next to a Chinese character.
    [GeneratedRegex(@"\p{IsCJKUnifiedIdeographs}[,.;:!?]|[,;:!?]\p{IsCJKUnifiedIdeographs}")]
    private static partial Regex HalfWidth();

    [GeneratedRegex(@"\{\d\}")]
    private static partial Regex Value();

    // t("key", data-t="key", words: "key"
    [GeneratedRegex(@"(?:\bt\(|\bdata-t(?:-label|-placeholder)?=|\bwords: )""(\w+)""")]
    private static partial Regex Key();

    [GeneratedRegex(@"""\w+""")]
    private static partial Regex Literal();

    // text: "Words", "aria-label": `Words ${value}`
    [GeneratedRegex(@"(?:\b(?:text|title|placeholder|alt)|""aria-label""): ?(?:""(?<text>[^""]*)""|`(?<text>[^`]*)`)")]
    private static partial Regex Shown();

    [GeneratedRegex(@"\$\{[^{}]*\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("[A-Za-z]{2}")]
    private static partial Regex Letters();

    [GeneratedRegex(@"(?<tag><[a-z][^<>]*>)(?<text>[^<]*)")]
    private static partial Regex Element();
}
