namespace GlmTune.Data.Checking;

/// <summary>The result of checking one file.</summary>
internal sealed record SplitReport
{
    /// <summary>Path of the file.</summary>
    public required string File { get; init; }

    /// <summary>All rows, valid or not.</summary>
    public required int Rows { get; init; }

    /// <summary>Rows that training can use.</summary>
    public required int UsableRows { get; init; }

    /// <summary>Messages in the readable rows.</summary>
    public required int Messages { get; init; }

    /// <summary>Supervised answers; each is one evaluation row unless its prompt is too long.</summary>
    public required int Answers { get; init; }

    /// <summary>Answers whose prompt is too long for evaluation.</summary>
    public required int PromptsTooLong { get; init; }

    /// <summary>Tool calls.</summary>
    public required int ToolCalls { get; init; }

    /// <summary>Tokens that training processes, after truncation.</summary>
    public required long Tokens { get; init; }

    /// <summary>Supervised tokens.</summary>
    public required long SupervisedTokens { get; init; }

    /// <summary>Lengths of the readable rows, before truncation.</summary>
    public required LengthSummary Lengths { get; init; }

    /// <summary>All findings, in the order of the file.</summary>
    public required IReadOnlyList<Finding> Findings { get; init; }

    /// <summary>Notes about the file as a whole: ignored keys, and formats that were converted.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Rows that are truncated, with or without losing their end.</summary>
    public int CutRows => Count(FindingKind.Cut) + Count(FindingKind.LostEnd);

    /// <summary>Findings of one kind.</summary>
    public int Count(FindingKind kind) => Findings.Count(finding => finding.Kind == kind);
}
