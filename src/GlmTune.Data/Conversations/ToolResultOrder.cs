namespace GlmTune.Data.Conversations;

/// <summary>Puts the results of tools in the order of the calls that they answer, because GLM-4's format has no ids:
/// the first result after several calls is that of the first.</summary>
public static class ToolResultOrder
{
    /// <summary>The messages, with each run of results in the order of the calls directly before it.</summary>
    /// <typeparam name="T">A message of any format that has ids.</typeparam>
    /// <param name="messages">All messages of a conversation.</param>
    /// <param name="callIds">The ids of the calls that a message makes, null for a call without one; null for a message
    /// of somebody else than the assistant.</param>
    /// <param name="isResult">Whether a message is the result of a call.</param>
    /// <param name="resultId">The id of the call that a result names; null or empty: it names none, and belongs to the
    /// first call that no other result names.</param>
    /// <param name="unknown">Gets the place of each result whose id no call before it has.</param>
    /// <remarks>Results of one call keep their order, and so do those of earlier calls, which follow the
    /// others.</remarks>
    public static T[] Sort<T>(
        IReadOnlyList<T> messages,
        Func<T, IEnumerable<string?>?> callIds,
        Func<T, bool> isResult,
        Func<T, string?> resultId,
        Action<int> unknown
    )
    {
        var sorted = messages.ToArray();
        var known = new HashSet<string>(StringComparer.Ordinal);
        var calls = new List<string?>(); // Those that the next results answer.
        for (var start = 0; start < sorted.Length;)
        {
            var end = start;
            while (end < sorted.Length && isResult(messages[end]))
            {
                end++;
            }

            if (end == start)
            {
                if (callIds(messages[start]) is { } ids)
                {
                    calls.AddRange(ids);
                }
                else
                {
                    calls.Clear();
                }

                start++;
                continue;
            }

            known.UnionWith(calls.OfType<string>());
            var places = Places(calls, [.. messages.Take(start..end).Select(resultId)]);
            for (var i = start; i < end; i++)
            {
                if (resultId(messages[i]) is { Length: > 0 } id && !known.Contains(id))
                {
                    unknown(i);
                }
            }

            messages
                .Take(start..end)
                .Zip(places)
                .OrderBy(result => result.Second)
                .Select(result => result.First)
                .ToArray()
                .CopyTo(sorted, start);
            calls.Clear();
            start = end;
        }

        return sorted;
    }

    // For each result the place of its call; past all calls where it has none here.
    private static int[] Places(List<string?> calls, string?[] results)
    {
        var answered = new bool[calls.Count];
        var places = new int[results.Length];
        foreach (var (result, id) in results.Index().Where(result => !string.IsNullOrEmpty(result.Item)))
        {
            // Where several calls have one id, their results come in the calls' order.
            var call = calls.FindIndex(0, each => each == id);
            while (call >= 0 && answered[call] && calls.FindIndex(call + 1, each => each == id) is var next and >= 0)
            {
                call = next;
            }

            places[result] = call < 0 ? calls.Count : call;
            if (call >= 0)
            {
                answered[call] = true;
            }
        }

        foreach (var (result, _) in results.Index().Where(result => string.IsNullOrEmpty(result.Item)))
        {
            var call = Array.IndexOf(answered, false);
            places[result] = call < 0 ? calls.Count : call;
            if (call >= 0)
            {
                answered[call] = true;
            }
        }

        return places;
    }
}
