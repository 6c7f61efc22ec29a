namespace GlmTune.Data.Templates;

/// <summary>One answer to generate and score: its prompt and its reference.</summary>
/// <param name="PromptIds">Token ids before the answer, ending with the assistant token.</param>
/// <param name="TargetIds">Token ids of the reference, from the newline after the assistant token to the end token,
/// truncated to the template's output limit.</param>
public sealed record EvaluationExample(int[] PromptIds, int[] TargetIds)
{
    /// <summary>Line in the file, from 1; 0 if it is not from a file.</summary>
    public int Line { get; init; }

    /// <summary>Whether the prompt opens thoughts, which the model ends with <c>&lt;/think&gt;</c> and which are not
    /// part of the answer; <see cref="TargetIds"/> has none.</summary>
    public bool Thinks { get; init; }

    /// <summary>Whether the reference was truncated to the limit.</summary>
    public required bool IsCut { get; init; }

    /// <summary>Index of the answer among the row's messages, from 0.</summary>
    public required int MessageIndex { get; init; }
}
