namespace GlmTune.Recipes.Configuration;

/// <summary>Collects all problems of a configuration, so that they can be reported together.</summary>
internal sealed class Problems
{
    private readonly List<(SourceLine At, string Text)> found = [];

    public bool IsEmpty => found.Count == 0;

    public void Add(SourceLine at, string text) => found.Add((at, text));

    /// <summary>One line per problem, by file and line.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            var sources = found.Select(problem => problem.At.Source).Distinct().ToList();
            return
            [
                .. found
                    .OrderBy(problem => sources.IndexOf(problem.At.Source))
                    .ThenBy(problem => problem.At.Line)
                    .Select(problem => $"{problem.At}: {problem.Text}")
                    .Distinct(),
            ];
        }
    }

    /// <summary>Throws if any problem was found: one line per problem, by file and line.</summary>
    /// <exception cref="InvalidDataException">There is at least one problem.</exception>
    public void Throw()
    {
        if (found.Count > 0)
        {
            throw new InvalidDataException(string.Join('\n', Lines));
        }
    }
}
