namespace GlmTune.Data.Templates;

/// <summary>One answer to generate and compare: the prompt up to it, and the reference.</summary>
/// <param name="PromptIds">Everything before the answer, ending with the assistant's token.</param>
/// <param name="TargetIds">The reference: from the newline after the assistant's token to the end token, cut to the template's output limit.</param>
public sealed record EvaluationExample(int[] PromptIds, int[] TargetIds)
{
    /// <summary>Which row this is from: its place in the split, from 0.</summary>
    public int Row { get; init; } = -1;

    /// <summary>Line of the file, from 1; 0 if it is from none.</summary>
    public int Line { get; init; }

    /// <summary>Which message of the row is the answer, from 0.</summary>
    public required int MessageIndex { get; init; }
}
