namespace GlmTune.Inference;

/// <summary>A prompt leaves no room for an answer.</summary>
/// <param name="tokens">Number of tokens of the prompt.</param>
/// <param name="limit">Max tokens of prompt and answer together.</param>
public class PromptTooLongException(int tokens, int limit)
    : ArgumentException(
        $"The prompt has {tokens} tokens, which leaves no room for an answer: prompt and answer are limited to {limit} "
            + "tokens together."
    )
{
    /// <summary>Number of tokens of the prompt.</summary>
    public int Tokens => tokens;

    /// <summary>Max tokens of prompt and answer together.</summary>
    public int Limit => limit;
}
