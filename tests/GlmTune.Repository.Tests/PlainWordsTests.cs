using System.Text.RegularExpressions;

namespace GlmTune.Repository.Tests;

/// <summary>Keeps translated and archaic phrases out of what people read, and lines short.</summary>
public sealed class PlainWordsTests
{
    private const int Columns = 120;
    private static readonly string[] Extensions = [".md", ".cs", ".html", ".js"];

    private static readonly string[] Phrases =
    [
        "on wish",
        "is no (?:command|option) of",
        "who comes",
        "so many and no more",
        "so and so many",
        "gone on with",
        "(?:begin|start)s? anew",
        "at the most",
        "an other",
        "runs unasked",
        "tells of",
        "there is no such file",
        "learnt",
        "is there already",
        "half of a surrogate",
        "presses a",
        "somebody should know",
        "(?:stays?|is) the caller's",
        "the likeliest",
        "(?:if|where) need be",
        "anew",
        "(?:is there|stands) twice",
        "go(?:es)? on with",
        "answers? otherwise",
        "does not do for",
        "memory does not do",
        "ways out",
        "takes? part in it",
        "of no effect",
        "in nobody's way",
        "nobody's concern",
        "hears (?:what|of|everything)",
        "of like (?:length|size|number)",
        "lets? (?:it|them) go",
        "lie back to back",
        "though it is no",
        "(?<!there )is no (?:file|folder|device|model|checkpoint|number|key|row|error|fault|name|list|object)",
    ];

    // A space may be a line break inside a comment.
    private static readonly Regex Phrase = new(
        $@"\b(?:{string.Join('|', Phrases).Replace(" ", @"(?:\s|//)+/?\s*", StringComparison.Ordinal)})\b",
        RegexOptions.IgnoreCase
    );

    private static readonly Regex RawQuotes = new("\"{3,}");

    [Fact]
    public void Nothing_that_people_read_has_a_phrase_that_a_native_speaker_would_not_write()
    {
        var found = Checkout
            .Files.Where(file =>
                Extensions.Contains(Path.GetExtension(file))
                && Path.GetFileName(file) != $"{nameof(PlainWordsTests)}.cs"
            )
            .SelectMany(file => Phrase.Matches(Checkout.Text(file)).Select(match => $"{file}: {match.Value}"));
        Assert.Empty(found);
    }

    [Fact]
    public void Lines_fit_the_columns() =>
        Assert.Empty(
            Checkout
                .Files.Where(file => file.EndsWith(".cs", StringComparison.Ordinal))
                .SelectMany(file => TooLong(Checkout.Text(file)).Select(line => $"{file}:{line}"))
        );

    [Theory]
    [InlineData("var text = $\"{0}\";", true)]
    [InlineData("/// {0}", true)]
    [InlineData("var json = \"\"\"{0}\"\"\";", false)]
    [InlineData("var json = \"\"\"\n{0}\n\"\"\";", false)]
    [InlineData("var a = \"\"\"x\"\"\";\nvar b = \"\"\"\ny\n\"\"\";\nvar text = \"{0}\";", true)]
    public void Only_raw_strings_may_be_longer(string code, bool isFound) =>
        Assert.Equal(isFound, TooLong(code.Replace("{0}", new string('x', Columns), StringComparison.Ordinal)).Any());

    // Numbers of the lines that are too long. Raw string literals hold text of other formats, which cannot be wrapped.
    private static IEnumerable<int> TooLong(string code)
    {
        var (number, isRaw) = (0, false);
        foreach (var line in code.Split('\n'))
        {
            number++;
            var quotes = RawQuotes.Count(line);
            if (line.TrimEnd('\r').Length > Columns && !isRaw && quotes == 0)
            {
                yield return number;
            }

            isRaw ^= quotes % 2 == 1;
        }
    }

    [Theory]
    [InlineData("in host memory on wish", true)]
    [InlineData("what the model has learnt\n/// of it", true)]
    [InlineData("a run that begins\n    /// anew", true)]
    [InlineData("the tensor stays the caller's", true)]
    [InlineData("'x' is no file", true)]
    [InlineData("there is no file", false)]
    [InlineData("the wish list, told of nothing; learned", false)]
    public void Phrases_are_found_across_lines(string text, bool isPhrase) =>
        Assert.Equal(isPhrase, Phrase.IsMatch(text));
}
