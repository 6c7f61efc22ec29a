using System.Text;

namespace GlmTune.Files;

/// <summary>Collects all problems of one file, so that users can fix them in one go.</summary>
internal sealed class ProblemList(string where)
{
    private const int Shown = 20;
    private readonly List<string> problems = [];

    /// <summary>The problems in the order in which they were added.</summary>
    public IReadOnlyList<string> Problems => problems;

    /// <summary>Adds a problem, without a full stop.</summary>
    public void Add(string problem) => problems.Add(problem);

    /// <summary>Throws all problems as one exception; does nothing if there are none.</summary>
    /// <exception cref="InvalidDataException">There is at least one problem.</exception>
    public void Throw()
    {
        if (problems.Count == 0)
        {
            return;
        }

        if (problems.Count == 1)
        {
            throw new InvalidDataException($"{where}: {problems[0]}.");
        }

        var message = new StringBuilder($"{where}: {problems.Count} problems.");
        foreach (var problem in problems.Take(Shown))
        {
            message.Append("\n  ").Append(problem).Append('.');
        }

        if (problems.Count > Shown)
        {
            message.Append($"\n  … and {problems.Count - Shown} more.");
        }

        throw new InvalidDataException(message.ToString());
    }
}
