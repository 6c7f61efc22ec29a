namespace GlmTune.Inference;

/// <summary>A token and how likely the model found it.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProbability">Natural logarithm of its probability among the tokens that may be produced, before any
/// penalty or temperature.</param>
public readonly record struct TokenProbability(int Id, double LogProbability)
{
    /// <summary>The log probability of one token, and of the likeliest.</summary>
    /// <param name="logits">As the model gave them, padded rows of the vocabulary left out.</param>
    /// <param name="chosen">The token that was chosen.</param>
    /// <param name="count">How many of the likeliest.</param>
    internal static (double Chosen, IReadOnlyList<TokenProbability> Top) Read(
        ReadOnlySpan<float> logits,
        int chosen,
        int count
    )
    {
        var most = float.NegativeInfinity;
        foreach (var logit in logits)
        {
            most = Math.Max(most, logit);
        }

        var sum = 0.0;
        var kept = new PriorityQueue<int, (float, int)>();
        for (var id = 0; id < logits.Length; id++)
        {
            sum += Math.Exp((double)logits[id] - most);
            if (kept.Count < count)
            {
                kept.Enqueue(id, (logits[id], -id));
            }
            else if (count > 0 && logits[id] > logits[kept.Peek()])
            {
                kept.EnqueueDequeue(id, (logits[id], -id));
            }
        }

        var logSum = most + Math.Log(sum);
        var top = new TokenProbability[kept.Count];
        for (var i = top.Length - 1; i >= 0; i--)
        {
            var id = kept.Dequeue();
            top[i] = new TokenProbability(id, logits[id] - logSum);
        }

        return (logits[chosen] - logSum, top);
    }
}
