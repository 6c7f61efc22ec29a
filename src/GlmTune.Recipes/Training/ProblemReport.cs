using System.Runtime.ExceptionServices;

namespace GlmTune.Recipes.Training;

/// <summary>Does several things of which each may find that a file is wrong, and reports all that was found at the
/// end.</summary>
internal sealed class ProblemReport
{
    private readonly List<string> problems = [];
    private Exception? first;

    /// <summary>Whether nothing was found so far.</summary>
    public bool IsEmpty => problems.Count == 0;

    /// <summary>Adds problems that were found, a text each.</summary>
    public void Add(IEnumerable<string> found) => problems.AddRange(found);

    /// <summary>The result, or null where a file was wrong: then the problem is kept.</summary>
    public T? Try<T>(Func<T> act)
        where T : class
    {
        try
        {
            return act();
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            first ??= problems.Count == 0 ? error : null;
            problems.Add(
                error is FileNotFoundException { FileName: { } file }
                && !error.Message.StartsWith(file, StringComparison.Ordinal)
                    ? $"{file}: file not found."
                    : error.Message
            );
            return null;
        }
    }

    /// <summary>Does what may find that a file is wrong; then the problem is kept.</summary>
    public void Try(Action act) =>
        Try(() =>
        {
            act();
            return "";
        });

    /// <summary>Does nothing where nothing was found.</summary>
    /// <exception cref="InvalidDataException">Something was: all of it, equal texts once. A single problem is thrown as
    /// it was.</exception>
    public void Throw()
    {
        if (problems.Count == 1 && first is not null)
        {
            ExceptionDispatchInfo.Throw(first);
        }

        if (problems.Count > 0)
        {
            throw new InvalidDataException(string.Join('\n', problems.Distinct()));
        }
    }
}
