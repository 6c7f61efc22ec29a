namespace GlmTune.Inference;

/// <summary>The order in which prompts are processed: first come, first served within a client; of several clients, the
/// one with the fewest tokens processed so far.</summary>
/// <remarks>A client without prompts saves up no claim: when it comes again, it starts level with those that stayed.
/// Not thread-safe.</remarks>
internal sealed class PromptTurns
{
    private readonly Dictionary<string, long> processed = [];
    private long level; // Tokens processed for the client whose turn was last, before it.

    /// <summary>Divides a number of tokens among prompts.</summary>
    /// <param name="prompts">Rows with tokens to process, in order of entry.</param>
    /// <param name="tokens">How many tokens may be processed.</param>
    /// <param name="take">Called for one row after another with the tokens left; returns how many it takes. After 0 no
    /// other is called.</param>
    public void Divide(IReadOnlyList<GenerationRow> prompts, int tokens, Func<GenerationRow, int, int> take)
    {
        var queues = new Dictionary<string, Queue<GenerationRow>>();
        foreach (var row in prompts)
        {
            var client = row.Request.Client ?? "";
            if (!queues.TryGetValue(client, out var queue))
            {
                queues.Add(client, queue = []);
                processed[client] = Math.Max(level, processed.GetValueOrDefault(client, level));
            }

            queue.Enqueue(row);
        }

        foreach (var gone in processed.Keys.Where(client => !queues.ContainsKey(client)).ToList())
        {
            processed.Remove(gone);
        }

        while (tokens > 0 && queues.Count > 0)
        {
            var client = queues.Keys.MinBy(client => processed[client])!; // Of equal ones, the first to have come.
            level = processed[client];
            var taken = take(queues[client].Dequeue(), tokens);
            if (taken == 0)
            {
                return;
            }

            tokens -= taken;
            processed[client] += taken;
            if (queues[client].Count == 0)
            {
                queues.Remove(client);
            }
        }
    }
}
