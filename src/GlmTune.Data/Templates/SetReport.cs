using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>What became of the rows of a data file.</summary>
public sealed record SetReport
{
    /// <summary>Rows read, good and bad.</summary>
    public int Rows { get; init; }

    /// <summary>Rows left out because they have a problem, including rows without supervised tokens.</summary>
    public int Skipped { get; init; }

    /// <summary>Rows that are used but cut to the limit; in an evaluation, answers whose reference is.</summary>
    public int Cut { get; init; }

    /// <summary>Of those, rows whose end token was cut, so that they do not teach where to stop.</summary>
    public int LostTheirEnd { get; init; }

    /// <summary>Answers that are not evaluated because their prompt is too long; 0 for a training set.</summary>
    public int PromptTooLong { get; init; }

    /// <summary>What is known of the rows as a whole, and what is odd in rows that are used; for people.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>What is wrong with the skipped rows.</summary>
    public IReadOnlyList<DataProblem> Problems { get; init; } = [];
}
