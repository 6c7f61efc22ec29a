namespace GlmTune.Inference;

/// <summary>A whole answer.</summary>
/// <param name="Index">Place of its prompt among the prompts, from 0.</param>
/// <param name="Generated">Every token that the model gave, a stop token included.</param>
public sealed record GeneratedAnswer(int Index, IReadOnlyList<GeneratedToken> Generated)
{
    /// <summary>Why it ended.</summary>
    public FinishReason Finish => Generated[^1].Finish ?? FinishReason.Length;

    /// <summary>The stop token that ended it; null where the length did.</summary>
    public int? StopToken => Finish == FinishReason.Stop ? Generated[^1].Id : null;

    /// <summary>The ids without the stop token.</summary>
    public int[] Tokens =>
        [.. Generated.Take(Generated.Count - (Finish == FinishReason.Stop ? 1 : 0)).Select(token => token.Id)];
}
