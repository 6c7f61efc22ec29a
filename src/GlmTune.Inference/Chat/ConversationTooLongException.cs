namespace GlmTune.Inference;

/// <summary>A conversation has outgrown the context of the model. Its history is unchanged.</summary>
/// <param name="tokens">Number of tokens of the prompt.</param>
/// <param name="limit">Max tokens of prompt and answer together.</param>
/// <param name="turnsToDrop">How many of the oldest turns must be dropped; null if the last message is too long even
/// without earlier ones.</param>
public sealed class ConversationTooLongException(int tokens, int limit, int? turnsToDrop)
    : PromptTooLongException(tokens, limit)
{
    /// <summary>How many of the oldest turns must be dropped so that the rest fits, with room for an answer; null if
    /// the last message is too long even without earlier ones.</summary>
    public int? TurnsToDrop => turnsToDrop;

    /// <summary>The fewest of the oldest turns without which a conversation fits.</summary>
    /// <param name="turns">Number of turns that may be dropped.</param>
    /// <param name="tokensWithout">Returns the number of prompt tokens without this many of the oldest turns.</param>
    /// <param name="limit">Max tokens of prompt and answer together.</param>
    /// <param name="answer">Max tokens of the answer; room for it is left, up to a quarter of the limit.</param>
    /// <returns>The number of turns, at least 1; null if the prompt is too long even without all of them.</returns>
    public static int? FewestTurns(int turns, Func<int, int> tokensWithout, int limit, int answer)
    {
        bool Fits(int dropped, int room) => tokensWithout(dropped) + room <= limit;
        var wanted = Math.Clamp(answer, 1, Math.Max(1, limit / 4));
        if (turns == 0 || !Fits(turns, wanted))
        {
            return turns > 0 && Fits(turns, 1) ? turns : null;
        }

        var (low, high) = (1, turns);
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = Fits(middle, wanted) ? (low, middle) : (middle + 1, high);
        }

        return low;
    }
}
