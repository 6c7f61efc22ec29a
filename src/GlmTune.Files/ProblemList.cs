using System.Text;

namespace GlmTune.Files;

/// <summary>Gathers what is wrong with one file, so that all of it can be mended at once.</summary>
public sealed class ProblemList(string where)
{
    private const int Shown = 20;
    private readonly List<string> problems = [];

    /// <summary>What was added, in order.</summary>
    public IReadOnlyList<string> Problems => problems;

    /// <summary>Adds a problem, without a full stop.</summary>
    public void Add(string problem) => problems.Add(problem);

    /// <summary>Does nothing where nothing is wrong.</summary>
    /// <exception cref="InvalidDataException">Something is.</exception>
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
