using System.Globalization;

namespace GlmTune.Data.Conversations;

/// <summary>Problems as lines of text; a problem that many rows share is shown once, with the numbers of the
/// rows.</summary>
/// <remarks>Problems are counted as they are added, and only what the lines need is kept. Not thread-safe.</remarks>
/// <param name="shown">Maximum number of lines; one more line counts the rest.</param>
internal sealed class FoldedProblems(int shown = DataProblem.Shown)
{
    private const int RangesShown = 6;

    private readonly OrderedDictionary<(string File, string Text), Group> groups = [];
    private int rest;

    /// <summary>Number of problems.</summary>
    public int Count { get; private set; }

    /// <summary>The first problem; null if there is none.</summary>
    public DataProblem? First { get; private set; }

    /// <summary>The lines, in the order in which the problems first occurred.</summary>
    /// <param name="problems">Problems of one or more files.</param>
    /// <param name="shown">Maximum number of lines; one more line counts the rest.</param>
    public static IReadOnlyList<string> Lines(IEnumerable<DataProblem> problems, int shown = DataProblem.Shown)
    {
        var folded = new FoldedProblems(shown);
        foreach (var problem in problems)
        {
            folded.Add(problem);
        }

        return folded.Lines();
    }

    /// <summary>Adds a problem.</summary>
    public void Add(DataProblem problem)
    {
        Count++;
        First ??= problem;
        var key = (problem.File, problem.Group?.Key ?? problem.Text);
        if (groups.TryGetValue(key, out var group))
        {
            group.Add(problem);
        }
        else if (groups.Count < shown)
        {
            groups.Add(key, new Group(problem));
        }
        else
        {
            rest++;
        }
    }

    /// <summary>The lines, in the order in which the problems first occurred.</summary>
    public IReadOnlyList<string> Lines()
    {
        List<string> lines = [.. groups.Values.Select(group => group.Line())];
        if (rest > 0)
        {
            lines.Add($"… and {rest} more {(rest == 1 ? "problem" : "problems")}.");
        }

        return lines;
    }

    private sealed class Group
    {
        private readonly DataProblem first;
        private readonly NumberRanges rows = new();
        private int count;
        private int most;

        public Group(DataProblem first)
        {
            this.first = first;
            Add(first);
        }

        public void Add(DataProblem problem)
        {
            count++;
            most = Math.Max(most, problem.Group?.Amount ?? 0);
            rows.Add(problem.Place.Number);
        }

        public string Line()
        {
            if (count == 1)
            {
                return first.ToString();
            }

            var text = first.Group is { } shared ? shared.Describe(most) : first.Text;
            var where =
                rows.Count == 1
                    ? $"{first.Place}, {count} messages"
                    : $"{rows.Count} rows ({(first.Place.Entry is null ? "lines" : "entries")} {Ranges()})";
            return $"{Path.GetFileName(first.File)}, {where}: {text}";
        }

        // 1–4, 7, 9–12, …
        private string Ranges()
        {
            var texts = rows
                .Ranges.Take(RangesShown)
                .Select(range =>
                    range.From == range.To
                        ? range.From.ToString(CultureInfo.InvariantCulture)
                        : string.Create(CultureInfo.InvariantCulture, $"{range.From}–{range.To}")
                );
            return string.Join(", ", texts) + (rows.Ranges.Count > RangesShown ? ", …" : "");
        }
    }
}
