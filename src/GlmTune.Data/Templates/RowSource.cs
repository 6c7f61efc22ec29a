using GlmTune.Data.Checking;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Turns the rows of a file into examples, on several threads and in order, applying the policy for bad
/// rows.</summary>
internal static class RowSource
{
    private const int AdviceShown = 5;

    /// <summary>Reads a file from beginning to end. Only a few rows are in memory at a time.</summary>
    /// <param name="path">Path of the data file.</param>
    /// <param name="options">Policy, number of threads, number of rows.</param>
    /// <param name="render">Returns a result, or the row's problem; called on several threads.</param>
    /// <param name="take">Takes the line and the result of each row that has one, in order.</param>
    /// <param name="advice">Finds oddities in rows that are used; null if they are reported elsewhere.</param>
    /// <param name="stop">Cancels reading.</param>
    /// <exception cref="InvalidDataException">Rows have problems and the policy is <see cref="BadRows.Error"/>, or no
    /// row is left.</exception>
    public static SetReport Read<T>(
        string path,
        ExampleOptions options,
        Func<Conversation, (T? Value, RowProblem? Problem)> render,
        Action<int, T> take,
        RowAdvice? advice,
        CancellationToken stop
    )
        where T : class
    {
        var (problems, odd, rowNotes) = (new FoldedProblems(), new FoldedProblems(AdviceShown), new RowNotes());
        var (count, taken) = (0, 0);
        foreach (
            var row in ConversationFile.Map(
                path,
                options.Threads,
                row => Render(row, path, render, advice),
                options.MaxRows,
                stop
            )
        )
        {
            count++;
            rowNotes.Add(row.Source);
            foreach (var problem in row.Problems)
            {
                problems.Add(problem);
            }

            foreach (var finding in row.Advice)
            {
                odd.Add(finding.Problem);
            }

            if (row.Value is { } value)
            {
                taken++;
                take(row.Source.Line, value);
            }
        }

        if (problems.Count > 0 && (options.BadRows == BadRows.Error || taken == 0))
        {
            throw DataProblem.Exception(problems);
        }

        if (taken == 0)
        {
            throw new InvalidDataException($"{path}: the file has no rows.");
        }

        List<string> notes = advice is null ? [] : [.. rowNotes.Lines(path)];
        if (odd.Count > 0)
        {
            notes.AddRange(odd.Lines());
            notes.Add($"{path}: `glmtune data check` lists them all.");
        }

        return new SetReport
        {
            Rows = count,
            Skipped = count - taken,
            Problems = problems.Count,
            FirstProblem = problems.First,
            Notes = notes,
        };
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
