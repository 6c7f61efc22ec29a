using System.Text.RegularExpressions;

namespace GlmTune.Cli.Language;

/// <summary>An English message with holes, and its translation.</summary>
/// <remarks>Holes are names in braces. <c>{file}</c> holds a value within a sentence, <c>{count#}</c> a number or a
/// size, <c>{where@}</c> the place that a message begins with, such as a path, and <c>{text*}</c> anything; all are
/// kept. <c>{problem+}</c> holds another message, which must have a translation too.</remarks>
internal sealed partial class Template
{
    private readonly string[] literals;
    private readonly (string Name, HoleKind Kind)[] holes;
    private readonly string translation;
    private readonly string longest;

    /// <param name="english">The message.</param>
    /// <param name="translation">Its translation, with the same holes, without their kinds.</param>
    /// <exception cref="FormatException">The holes differ, or two of them touch.</exception>
    public Template(string english, string translation)
    {
        (English, this.translation) = (english, translation);
        var found = Hole().Matches(english);
        holes = [.. found.Select(hole => (hole.Groups[1].Value, Kind(hole.Groups[2].Value)))];
        literals = Hole().Replace(english, "\0").Split('\0');
        longest = literals.MaxBy(literal => literal.Length)!;
        Weight = literals.Sum(literal => literal.Length);
        if (literals.Skip(1).SkipLast(1).Any(literal => literal.Length == 0))
        {
            throw new FormatException($"'{english}': two holes touch.");
        }

        var translated = Hole().Matches(translation).Select(hole => hole.Groups[1].Value).ToHashSet();
        if (
            !translated.SetEquals(holes.Select(hole => hole.Name))
            || holes.DistinctBy(hole => hole.Name).Count() != holes.Length
        )
        {
            throw new FormatException($"'{english}': its holes and those of '{translation}' differ.");
        }
    }

    private enum HoleKind
    {
        Value,
        Text,
        Number,
        Place,
        Message,
    }

    /// <summary>The English message, with its holes.</summary>
    public string English { get; }

    /// <summary>The English texts between the holes.</summary>
    public IReadOnlyList<string> Literals => literals;

    /// <summary>How much of the message is fixed, in characters: of two templates that match, the one with more is
    /// meant.</summary>
    public int Weight { get; }

    /// <summary>How many holes hold messages.</summary>
    public int Messages => holes.Count(hole => hole.Kind == HoleKind.Message);

    /// <summary>Whether a text may match.</summary>
    public bool MayMatch(string text) => text.Contains(longest, StringComparison.Ordinal);

    /// <summary>The translation of a text; null if it does not match.</summary>
    /// <param name="text">One line.</param>
    /// <param name="translate">Translates a message in a hole; null if it has no translation.</param>
    public string? Translate(string text, Func<string, string?> translate)
    {
        if (!text.StartsWith(literals[0], StringComparison.Ordinal))
        {
            return null;
        }

        if (holes.Length == 0)
        {
            return text.Length == literals[0].Length ? translation : null;
        }

        var values = new string[holes.Length];
        return Fill(0, literals[0].Length) ? Filled(values) : null;

        bool Fill(int hole, int start)
        {
            var (isLast, next) = (hole == holes.Length - 1, literals[hole + 1]);
            if (isLast)
            {
                var end = text.Length - next.Length;
                return end >= start
                    && text.EndsWith(next, StringComparison.Ordinal)
                    && Take(hole, text[start..end], translate, out values[hole]);
            }

            for (
                var at = text.IndexOf(next, start, StringComparison.Ordinal);
                at >= 0;
                at = at + 1 > text.Length ? -1 : text.IndexOf(next, at + 1, StringComparison.Ordinal)
            )
            {
                if (Take(hole, text[start..at], translate, out values[hole]) && Fill(hole + 1, at + next.Length))
                {
                    return true;
                }
            }

            return false;
        }
    }

    private bool IsBetween(int hole, char before, char after) =>
        literals[hole].EndsWith(before) && literals[hole + 1].StartsWith(after);

    // Between a Chinese character and a message that begins or ends with a Latin one belongs a space.
    private string Filled(string[] values) =>
        Hole()
            .Replace(
                translation,
                match =>
                {
                    var hole = Array.FindIndex(holes, own => own.Name == match.Groups[1].Value);
                    var value = values[hole];
                    if (holes[hole].Kind != HoleKind.Message || value.Length == 0)
                    {
                        return value;
                    }

                    var end = match.Index + match.Length;
                    var before = match.Index > 0 && IsChinese(translation[match.Index - 1]);
                    var after = end < translation.Length && IsChinese(translation[end]);
                    return (before && char.IsAsciiLetterOrDigit(value[0]) ? " " : "")
                        + value
                        + (after && char.IsAsciiLetterOrDigit(value[^1]) ? " " : "");
                }
            );

    private static bool IsChinese(char c) => c is >= '\u4e00' and <= '\u9fff';

    private bool Take(int hole, string text, Func<string, string?> translate, out string value)
    {
        value = text;
        switch (holes[hole].Kind)
        {
            // A value that goes on into the next sentence would hide a part that has to be translated.
            case HoleKind.Value:
                return !text.Contains("; ", StringComparison.Ordinal)
                    && !text.Contains(". ", StringComparison.Ordinal)
                    && !(IsBetween(hole, '\'', '\'') && text.Contains('\'', StringComparison.Ordinal))
                    && !(IsBetween(hole, '(', ')') && text.AsSpan().ContainsAny('(', ')'));
            case HoleKind.Number:
                return Number().IsMatch(text);
            case HoleKind.Place:
                return text.Length > 0
                    && (!text.Contains(' ', StringComparison.Ordinal) || text.AsSpan().ContainsAny("/.['\\"))
                    && !text.Contains(": ", StringComparison.Ordinal);
            case HoleKind.Message:
                value = translate(text)!;
                return value is not null;
            default:
                return true;
        }
    }

    private static HoleKind Kind(string sign) =>
        sign switch
        {
            "#" => HoleKind.Number,
            "@" => HoleKind.Place,
            "+" => HoleKind.Message,
            "*" => HoleKind.Text,
            _ => HoleKind.Value,
        };

    [GeneratedRegex(@"\{([a-z]+)([#@+*]?)\}")]
    private static partial Regex Hole();

    [GeneratedRegex(@"^[-+]?[0-9][0-9.,:e+-]*( ?[KMGT]i?B| bytes)?$|^-?∞$|^NaN$", RegexOptions.IgnoreCase)]
    private static partial Regex Number();
}
