using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Turns the rows of a file into examples, on several threads and in order, and applies the policy for bad
/// rows.</summary>
internal static class RowSource
{
    /// <param name="path">The jsonl file.</param>
    /// <param name="options">Policy, threads, number of rows.</param>
    /// <param name="render">Gives a result, or throws <see cref="InvalidDataException"/> with the problem that the row
    /// has.</param>
    /// <param name="stop">Ends the reading.</param>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is to stop, or no row is
    /// left.</exception>
    public static (SetReport Report, List<(int Line, T Value)> Results) Read<T>(
        string path,
        ExampleOptions options,
        Func<Conversation, T> render,
        CancellationToken stop
    )
    {
        var results = new List<(int, T)>();
        var problems = new List<DataProblem>();
        var (rows, skipped) = (0, 0);
        foreach (
            var (line, value, found) in ConversationFile.Map(
                path,
                options.Parallelism,
                row => Render(row, path, render),
                options.MaxRows,
                stop
            )
        )
        {
            rows++;
            if (found.Count > 0)
            {
                skipped++;
                problems.AddRange(found);
            }
            else
            {
                results.Add((line, value!));
            }
        }

        if (problems.Count > 0 && (options.BadRows == BadRows.Error || results.Count == 0))
        {
            throw DataProblem.Exception(problems);
        }

        return results.Count > 0
            ? (
                new SetReport
                {
                    Rows = rows,
                    Skipped = skipped,
                    Problems = problems,
                },
                results
            )
            : throw new InvalidDataException($"{path}: the file has no rows.");
    }

    private static (int Line, T? Value, IReadOnlyList<DataProblem> Problems) Render<T>(
        ConversationRow row,
        string path,
        Func<Conversation, T> render
    )
    {
        if (row.Conversation is not { } conversation)
        {
            return (row.Line, default, row.Problems);
        }

        try
        {
            return (row.Line, render(conversation), []);
        }
        catch (InvalidDataException e)
        {
            return (row.Line, default, [new DataProblem(path, row.Line, null, e.Message)]);
        }
    }
}
