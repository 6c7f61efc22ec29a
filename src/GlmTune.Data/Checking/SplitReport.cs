namespace GlmTune.Data.Checking;

/// <summary>What a check says of one file.</summary>
public sealed record SplitReport
{
    /// <summary>The file.</summary>
    public required string File { get; init; }

    /// <summary>Rows, good and bad.</summary>
    public required int Rows { get; init; }

    /// <summary>Rows that training can use.</summary>
    public required int UsableRows { get; init; }

    /// <summary>Messages of the rows that can be read.</summary>
    public required int Messages { get; init; }

    /// <summary>Supervised answers, one evaluation row each unless the prompt is too long.</summary>
    public required int Answers { get; init; }

    /// <summary>Answers whose prompt is too long to be evaluated.</summary>
    public required int PromptsTooLong { get; init; }

    /// <summary>Calls of tools.</summary>
    public required int ToolCalls { get; init; }

    /// <summary>Tokens that training sees, after the cut.</summary>
    public required long Tokens { get; init; }

    /// <summary>Supervised tokens.</summary>
    public required long SupervisedTokens { get; init; }

    /// <summary>Lengths of the rows that can be read, before the cut.</summary>
    public required LengthSummary Lengths { get; init; }

    /// <summary>Everything that was found, in the file's order.</summary>
    public required IReadOnlyList<Finding> Findings { get; init; }

    /// <summary>What is known of the rows as a whole: keys that are not read, forms that were converted.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Rows that are cut, their end lost or not.</summary>
    public int CutRows => Count(FindingKind.Cut) + Count(FindingKind.LostEnd);

    /// <summary>Findings of one kind.</summary>
    public int Count(FindingKind kind) => Findings.Count(finding => finding.Kind == kind);
}
