namespace GlmTune.Data.Conversations;

/// <summary>What is wrong with one row of a data file.</summary>
/// <param name="File">The file's path as it was given.</param>
/// <param name="Line">Line of the row, from 1.</param>
/// <param name="Message">Index of the message, from 0; null when the row as a whole is wrong.</param>
/// <param name="Text">What was found, what was expected, what to do.</param>
public sealed record DataProblem(string File, int Line, int? Message, string Text)
{
    /// <summary>File name, line, message and text, as users see it.</summary>
    public override string ToString() =>
        $"{Path.GetFileName(File)}, line {Line}{(Message is { } index ? $", messages[{index}]" : "")}: {Text}";

    /// <summary>One error for all problems, of which the first <paramref name="shown"/> are written out.</summary>
    public static InvalidDataException Exception(IReadOnlyCollection<DataProblem> problems, int shown = 20)
    {
        var lines = problems.Take(shown).Select(problem => problem.ToString());
        var rest = problems.Count > shown ? $"{Environment.NewLine}… and {problems.Count - shown} more problems." : "";
        return new InvalidDataException(string.Join(Environment.NewLine, lines) + rest);
    }
}
