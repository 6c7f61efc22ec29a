namespace GlmTune.Data.Conversations;

/// <summary>What is wrong with one row of a data file.</summary>
/// <param name="File">The file's path as it was given.</param>
/// <param name="Place">Where the row is.</param>
/// <param name="Message">Index of the message, from 0; null when the row as a whole is wrong.</param>
/// <param name="Text">What was found, what was expected, what to do.</param>
public sealed record DataProblem(string File, RowPlace Place, int? Message, string Text)
{
    /// <summary>Problems shown of one file; the rest are counted.</summary>
    public const int Shown = 20;

    /// <summary>The line the row begins on, from 1.</summary>
    public int Line => Place.Line;

    /// <summary>What many rows with this problem have in common, where their texts differ in a number; null where the
    /// text says it.</summary>
    public ProblemGroup? Group { get; init; }

    /// <summary>File name, place, message and text, as users see it.</summary>
    public override string ToString() =>
        $"{Path.GetFileName(File)}, {Place}{(Message is { } index ? $", messages[{index}]" : "")}: {Text}";

    /// <summary>One error for all problems; those that are the same in many rows are one line.</summary>
    public static InvalidDataException Exception(IReadOnlyCollection<DataProblem> problems, int shown = Shown) =>
        new(string.Join(Environment.NewLine, FoldedProblems.Lines(problems, shown)));
}

/// <summary>Problems that differ in a number only.</summary>
/// <param name="Key">The same for all of them.</param>
/// <param name="Amount">This row's number.</param>
/// <param name="Describe">Makes the text for many rows from the largest number.</param>
public sealed record ProblemGroup(string Key, int Amount, Func<int, string> Describe);
