namespace GlmTune.Inference;

/// <summary>A prompt leaves no room for an answer.</summary>
/// <param name="tokens">Tokens of the prompt.</param>
/// <param name="limit">Tokens of prompt and answer together, at most.</param>
public sealed class PromptTooLongException(int tokens, int limit)
    : ArgumentException(
        $"The prompt has {tokens} tokens, which leaves no room for an answer: prompt and answer are limited to {limit} "
            + "tokens together."
    )
{
    /// <summary>Tokens of the prompt.</summary>
    public int Tokens => tokens;

    /// <summary>Tokens of prompt and answer together, at most.</summary>
    public int Limit => limit;
}
