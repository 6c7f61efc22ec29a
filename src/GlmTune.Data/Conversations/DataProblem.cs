namespace GlmTune.Data.Conversations;

/// <summary>A problem with one row of a data file.</summary>
/// <param name="File">Path of the file as given.</param>
/// <param name="Place">Position of the row.</param>
/// <param name="Message">Index of the message, from 0; null if the row as a whole is wrong.</param>
/// <param name="Text">What was found, what was expected, what to do.</param>
public sealed record DataProblem(string File, RowPlace Place, int? Message, string Text)
{
    /// <summary>Maximum number of problems shown per file; the rest are counted.</summary>
    public const int Shown = 20;

    /// <summary>The line on which the row begins, from 1.</summary>
    public int Line => Place.Line;

    /// <summary>Groups rows with this problem if their texts differ in a number; null if the text itself is the
    /// key.</summary>
    internal ProblemGroup? Group { get; init; }

    /// <summary>File name, position, message and text, as shown to users.</summary>
    public override string ToString() =>
        $"{Path.GetFileName(File)}, {Place}{(Message is { } index ? $", messages[{index}]" : "")}: {Text}";

    /// <summary>One exception for all problems; a problem that many rows share takes one line.</summary>
    public static InvalidDataException Exception(IReadOnlyCollection<DataProblem> problems, int shown = Shown) =>
        new(string.Join(Environment.NewLine, FoldedProblems.Lines(problems, shown)));

    /// <summary>One exception for problems that were folded as they came.</summary>
    internal static InvalidDataException Exception(FoldedProblems problems) =>
        new(string.Join(Environment.NewLine, problems.Lines()));
}

/// <summary>Problems that differ only in a number.</summary>
/// <param name="Key">The key they share.</param>
/// <param name="Amount">This row's number.</param>
/// <param name="Describe">Creates the text for many rows from the largest number.</param>
internal sealed record ProblemGroup(string Key, int Amount, Func<int, string> Describe);
