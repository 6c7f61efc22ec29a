using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>What happened to the rows of a data file.</summary>
internal sealed record SetReport
{
    /// <summary>Rows read, valid or not.</summary>
    public int Rows { get; init; }

    /// <summary>Rows skipped because of a problem, including rows without supervised tokens.</summary>
    public int Skipped { get; init; }

    /// <summary>Rows used but truncated; in an evaluation set, answers with a truncated reference.</summary>
    public int Cut { get; init; }

    /// <summary>Truncated rows that lost their end token, so they do not teach the model when to stop.</summary>
    public int LostTheirEnd { get; init; }

    /// <summary>Answers not evaluated because their prompt is too long; 0 for a training set.</summary>
    public int PromptTooLong { get; init; }

    /// <summary>Notes for the user about the file as a whole, and about oddities in rows that are used.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Number of problems of the skipped rows.</summary>
    public int Problems { get; init; }

    /// <summary>The first of them; null if there is none.</summary>
    public DataProblem? FirstProblem { get; init; }

    /// <summary>A note for the user about skipped rows; null if there are none.</summary>
    public string? SkippedNote(string path) =>
        Skipped == 0
            ? null
            : $"{path}: {Skipped} of {Rows} rows were skipped: {FirstProblem}{(Problems > 1 ? ", …" : "")}";
}
