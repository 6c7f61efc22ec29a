namespace GlmTune.Data.Templates;

/// <summary>One answer to generate and compare: the prompt up to it, and the reference.</summary>
/// <param name="PromptIds">Everything before the answer, ending with the assistant's token.</param>
/// <param name="TargetIds">The reference: from the newline after the assistant's token to the end token, cut to the
/// template's output limit.</param>
public sealed record EvaluationExample(int[] PromptIds, int[] TargetIds)
{
    /// <summary>Line of the file, from 1; 0 if it is from none.</summary>
    public int Line { get; init; }

    /// <summary>Whether the reference was longer than the limit, so that its end is missing.</summary>
    public required bool IsCut { get; init; }

    /// <summary>Which message of the row is the answer, from 0.</summary>
    public required int MessageIndex { get; init; }
}
