namespace GlmTune.Data.Conversations;

/// <summary>Sorts tool results into the order of their calls. GLM-4's format has no ids: the first result after several
/// calls belongs to the first call.</summary>
public static class ToolResultOrder
{
    /// <summary>The messages, with each run of results sorted like the calls directly before it.</summary>
    /// <typeparam name="T">A message of any format that has ids.</typeparam>
    /// <param name="messages">All messages of a conversation.</param>
    /// <param name="callIds">Returns the ids of the calls in a message, null for a call without an id; returns null for
    /// messages not from the assistant.</param>
    /// <param name="isResult">Whether a message is the result of a call.</param>
    /// <param name="resultId">Returns the call id of a result; null or empty: it has none, and belongs to the first
    /// call that no other result refers to.</param>
    /// <param name="unknown">Called with the index of each result whose id no earlier call has.</param>
    /// <remarks>Results of the same call keep their order. Results of earlier calls also keep theirs, and follow the
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
        var calls = new List<string?>(); // The calls that the next results answer.
        for (var start = 0; start < sorted.Length; )
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

    // For each result, the index of its call; past the last call if it has none here.
    private static int[] Places(List<string?> calls, string?[] results)
    {
        var answered = new bool[calls.Count];
        var places = new int[results.Length];
        foreach (var (result, id) in results.Index().Where(result => !string.IsNullOrEmpty(result.Item)))
        {
            // If several calls share an id, their results are taken in the order of the calls.
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
