namespace GlmTune.Recipes.Configuration;

/// <summary>Collects everything that is wrong with a configuration, so that it is reported at once.</summary>
internal sealed class Problems
{
    private readonly List<(SourceLine At, string Text)> found = [];

    public bool IsEmpty => found.Count == 0;

    public void Add(SourceLine at, string text) => found.Add((at, text));

    /// <summary>Ends here if anything was found: one line for each problem, file by file, in the order of
    /// lines.</summary>
    /// <exception cref="InvalidDataException">Something was found.</exception>
    public void Throw()
    {
        if (found.Count == 0)
        {
            return;
        }

        var sources = found.Select(problem => problem.At.Source).Distinct().ToList();
        var lines = found
            .OrderBy(problem => sources.IndexOf(problem.At.Source))
            .ThenBy(problem => problem.At.Line)
            .Select(problem => $"{problem.At}: {problem.Text}");
        throw new InvalidDataException(string.Join('\n', lines.Distinct()));
    }
}
