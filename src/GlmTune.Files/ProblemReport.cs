using System.Runtime.ExceptionServices;

namespace GlmTune.Files;

/// <summary>Runs several steps, each of which may find problems in files, and reports all problems together at the
/// end.</summary>
internal sealed class ProblemReport
{
    private readonly List<string> problems = [];
    private Exception? first;

    /// <summary>Whether no problem has been found so far.</summary>
    public bool IsEmpty => problems.Count == 0;

    /// <summary>The problems found so far, without duplicates.</summary>
    public IReadOnlyList<string> Problems => [.. problems.Distinct()];

    /// <summary>Adds problems, one text each.</summary>
    public void Add(IEnumerable<string> found) => problems.AddRange(found);

    /// <summary>The result of a step; null if it found a problem, which is recorded.</summary>
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

    /// <summary>Runs a step; a problem that it finds is recorded.</summary>
    public void Try(Action act) =>
        Try(() =>
        {
            act();
            return "";
        });

    /// <summary>Throws if any problem was recorded.</summary>
    /// <exception cref="InvalidDataException">All problems, without duplicates. A single problem is rethrown
    /// unchanged.</exception>
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
