using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Turns the rows of a file into examples, on several threads and in order, applying the policy for bad
/// rows.</summary>
internal static class RowSource
{
    private const int AdviceShown = 5;

    /// <param name="path">Path of the data file.</param>
    /// <param name="options">Policy, number of threads, number of rows.</param>
    /// <param name="render">Returns a result, or the row's problem.</param>
    /// <param name="advice">Finds oddities in rows that are used; null if they are reported elsewhere.</param>
    /// <param name="stop">Cancels reading.</param>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is [BadRows.Error], or no row is
    /// left.</exception>
    public static (SetReport Report, List<(int Line, T Value)> Results) Read<T>(
        string path,
        ExampleOptions options,
        Func<Conversation, (T? Value, RowProblem? Problem)> render,
        RowAdvice? advice,
        CancellationToken stop
    )
        where T : class
    {
        var rows = ConversationFile
            .Map(path, options.Parallelism, row => Render(row, path, render, advice), options.MaxRows, stop)
            .ToList();
        var results = new List<(int, T)>();
        var problems = new List<DataProblem>();
        var skipped = 0;
        foreach (var row in rows)
        {
            problems.AddRange(row.Problems);
            if (row.Value is { } value)
            {
                results.Add((row.Source.Line, value));
            }
            else
            {
                skipped++;
            }
        }

        if (problems.Count > 0 && (options.BadRows == BadRows.Error || results.Count == 0))
        {
            throw DataProblem.Exception(problems);
        }

        if (results.Count == 0)
        {
            throw new InvalidDataException($"{path}: the file has no rows.");
        }

        List<string> notes = advice is null ? [] : [.. RowNotes.Of(path, rows.Select(row => row.Source))];
        var odd = rows.SelectMany(row => row.Advice).Select(finding => finding.Problem).ToList();
        if (odd.Count > 0)
        {
            notes.AddRange(FoldedProblems.Lines(odd, AdviceShown));
            notes.Add($"{path}: `glmtune data check` lists them all.");
        }

        return (
            new SetReport
            {
                Rows = rows.Count,
                Skipped = skipped,
                Problems = problems,
                Notes = notes,
            },
            results
        );
    }

    private static RenderedRow<T> Render<T>(
        ConversationRow row,
        string path,
        Func<Conversation, (T? Value, RowProblem? Problem)> render,
        RowAdvice? advice
    )
        where T : class
    {
        // The result holds all that is needed, so the conversation is released.
        var source = row with
        {
            Conversation = null,
        };
        if (row.Conversation is not { } conversation)
        {
            return new RenderedRow<T>(source, null, row.Problems, []);
        }

        try
        {
            var (value, problem) = render(conversation);
            return new RenderedRow<T>(
                source,
                value,
                problem is null ? [] : [problem.In(path, row.Place)],
                value is null || advice is null ? [] : [.. advice.Find(conversation, path, row.Place)]
            );
        }
        catch (InvalidDataException e)
        {
            return new RenderedRow<T>(source, null, [new DataProblem(path, row.Place, null, e.Message)], []);
        }
    }

    private sealed record RenderedRow<T>(
        ConversationRow Source,
        T? Value,
        IReadOnlyList<DataProblem> Problems,
        IReadOnlyList<Finding> Advice
    )
        where T : class;
}
