
namespace GlmTune.Benchmarking.Stress;

/// <summary>What became of one request.</summary>
/// <param name="PromptTokens">Tokens of the prompt, as the one who answered counts them.</param>
/// <param name="AnswerTokens">Tokens of the answer.</param>
/// <param name="FirstToken">From asking to the answer's first token.</param>
/// <param name="Whole">From asking to its last.</param>
public sealed record StressAnswer(int PromptTokens, int AnswerTokens, TimeSpan FirstToken, TimeSpan Whole)
{
    /// <summary>Tokens a second after the first; not a number for an answer of one token.</summary>
    public double TokensPerSecond =>
        AnswerTokens > 1 && Whole > FirstToken ? (AnswerTokens - 1) / (Whole - FirstToken).TotalSeconds : double.NaN;
}

/// <summary>Something that answers.</summary>
public interface IStressTarget
{
    /// <summary>What it is, for the report.</summary>
    string Name { get; }

    /// <summary>Asks once and waits for the whole answer. Called by several at the same time.</summary>
    /// <param name="promptTokens">Tokens of the prompt.</param>
    /// <param name="maxNewTokens">Tokens of the answer, at most.</param>
    /// <param name="random">Draws the prompt; the call's own.</param>
    /// <param name="cancellation">Ends it.</param>
    Task<StressAnswer> AskAsync(int promptTokens, int maxNewTokens, Random random, CancellationToken cancellation);
}
