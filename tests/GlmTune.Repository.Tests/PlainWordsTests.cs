using System.Text.RegularExpressions;

namespace GlmTune.Repository.Tests;

/// <summary>Keeps translated and archaic phrases out of what people read, and lines of documentation short.</summary>
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
        "there is no such",
        "learnt",
        "is there already",
        "half of a surrogate",
        "presses a",
    ];

    // A space may be a line break inside a comment.
    private static readonly Regex Phrase = new(
        $@"\b(?:{string.Join('|', Phrases).Replace(" ", @"(?:\s|//)+/?\s*", StringComparison.Ordinal)})\b",
        RegexOptions.IgnoreCase
    );

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
    public void Comments_fit_the_columns()
    {
        var found = Checkout
            .Files.Where(file => file.EndsWith(".cs", StringComparison.Ordinal))
            .SelectMany(file =>
                Checkout
                    .Text(file)
                    .Split('\n')
                    .Select((line, index) => (Line: line.TrimEnd('\r'), Number: index + 1))
                    .Where(line =>
                        line.Line.Length > Columns && line.Line.TrimStart().StartsWith("//", StringComparison.Ordinal)
                    )
                    .Select(line => $"{file}:{line.Number}")
            );
        Assert.Empty(found);
    }

    [Theory]
    [InlineData("in host memory on wish", true)]
    [InlineData("what the model has learnt\n/// of it", true)]
    [InlineData("a run that begins\n    /// anew", true)]
    [InlineData("the wish list, told of nothing; learned", false)]
    public void Phrases_are_found_across_lines(string text, bool isPhrase) =>
        Assert.Equal(isPhrase, Phrase.IsMatch(text));
}
