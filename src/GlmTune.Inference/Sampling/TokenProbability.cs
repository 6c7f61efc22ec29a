namespace GlmTune.Inference;

/// <summary>A token with its probability according to the model.</summary>
/// <param name="Id">The token id.</param>
/// <param name="LogProbability">Natural logarithm of its probability among the tokens that may be generated, before any
/// penalty or temperature.</param>
public readonly record struct TokenProbability(int Id, double LogProbability)
{
    /// <summary>The log probabilities of one token and of the most likely tokens.</summary>
    /// <param name="logits">The model's logits, without padded rows of the vocabulary.</param>
    /// <param name="chosen">The token that was selected.</param>
    /// <param name="count">Number of most likely tokens.</param>
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
