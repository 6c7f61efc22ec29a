using System.Globalization;

namespace GlmTune.Data.Conversations;

/// <summary>Problems as lines of text; a problem that many rows share is shown once, with the numbers of the
/// rows.</summary>
internal static class FoldedProblems
{
    private const int RangesShown = 6;

    /// <summary>The lines, in the order in which the problems first occurred.</summary>
    /// <param name="problems">Problems of one or more files.</param>
    /// <param name="shown">Maximum number of lines; one more line counts the rest.</param>
    public static IReadOnlyList<string> Lines(IEnumerable<DataProblem> problems, int shown = DataProblem.Shown)
    {
        var groups = problems
            .GroupBy(problem => (problem.File, Text: problem.Group?.Key ?? problem.Text))
            .Select(group => group.ToList())
            .ToList();
        List<string> lines = [.. groups.Take(shown).Select(Line)];
        if (groups.Count > shown)
        {
            var rest = groups.Skip(shown).Sum(group => group.Count);
            lines.Add($"… and {rest} more {(rest == 1 ? "problem" : "problems")}.");
        }

        return lines;
    }

    private static string Line(List<DataProblem> group)
    {
        var first = group[0];
        if (group.Count == 1)
        {
            return first.ToString();
        }

        List<RowPlace> places = [.. group.Select(problem => problem.Place).Distinct()];
        var text = first.Group is { } shared
            ? shared.Describe(group.Max(problem => problem.Group!.Amount))
            : first.Text;
        var where =
            places.Count == 1
                ? $"{places[0]}, {group.Count} messages"
                : $"{places.Count} rows ({(first.Place.Entry is null ? "lines" : "entries")} {Ranges(places)})";
        return $"{Path.GetFileName(first.File)}, {where}: {text}";
    }

    // 1–4, 7, 9–12, …
    private static string Ranges(List<RowPlace> places)
    {
        var ranges = new List<(int From, int To)>();
        foreach (var number in places.Select(place => place.Number).Order())
        {
            if (ranges.Count > 0 && ranges[^1].To + 1 == number)
            {
                ranges[^1] = (ranges[^1].From, number);
            }
            else
            {
                ranges.Add((number, number));
            }
        }

        var shown = ranges
            .Take(RangesShown)
            .Select(range =>
                range.From == range.To
                    ? range.From.ToString(CultureInfo.InvariantCulture)
                    : string.Create(CultureInfo.InvariantCulture, $"{range.From}–{range.To}")
            );
        return string.Join(", ", shown) + (ranges.Count > RangesShown ? ", …" : "");
    }
}
