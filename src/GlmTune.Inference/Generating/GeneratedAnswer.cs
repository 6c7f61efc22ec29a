namespace GlmTune.Inference;

/// <summary>A complete answer.</summary>
/// <param name="Index">Index of its prompt, from 0.</param>
/// <param name="Generated">All generated token ids, including a stop token.</param>
internal sealed record GeneratedAnswer(int Index, IReadOnlyList<GeneratedToken> Generated)
{
    /// <summary>Why generation stopped.</summary>
    public FinishReason Finish => Generated[^1].Finish ?? FinishReason.Length;

    /// <summary>The stop token that ended it; null if the length limit did.</summary>
    public int? StopToken => Finish == FinishReason.Stop ? Generated[^1].Id : null;

    /// <summary>The token ids without the stop token.</summary>
    public int[] Tokens =>
        [.. Generated.Take(Generated.Count - (Finish == FinishReason.Stop ? 1 : 0)).Select(token => token.Id)];
}
