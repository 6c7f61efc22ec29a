namespace GlmTune.Data.Conversations;

/// <summary>Sorts tool results into the order of the calls they answer, because GLM-4's format has no ids: the first
/// result after several calls is that of the first. Data files, the server and the chat client all use it.</summary>
internal static class ToolResultOrder
{
    /// <summary>Sorts each run of results into the order of the calls directly before it.</summary>
    /// <typeparam name="T">A message of any format with ids.</typeparam>
    /// <param name="messages">All messages of a conversation.</param>
    /// <param name="callIds">Ids of the calls in a message, null for a call without one; null for a message of
    /// somebody other than the assistant.</param>
    /// <param name="isResult">Whether a message is the result of a call.</param>
    /// <param name="resultId">Id of the call that a result names; null or empty if it names none.</param>
    /// <param name="problem">Receives each problem: an unknown, duplicate or missing id, or a call without a result
    /// before one that has one. A run of results with a problem stays in its order.</param>
    /// <remarks>Where no result of a run has an id, all stay in their order: then the order is the only rule.</remarks>
    public static T[] Sort<T>(
        IReadOnlyList<T> messages,
        Func<T, IEnumerable<string?>?> callIds,
        Func<T, bool> isResult,
        Func<T, string?> resultId,
        Action<ToolResultProblem> problem
    )
    {
        var sorted = messages.ToArray();
        var calls = new List<string?>(); // Those that the next results answer.
        for (var (start, lastCall) = (0, 0); start < sorted.Length;)
        {
            var end = start;
            while (end < sorted.Length && isResult(messages[end]))
            {
                end++;
            }

            if (end == start)
            {
                if (callIds(messages[start])?.Select(NotEmpty).ToList() is not { } ids)
                {
                    calls.Clear();
                }
                else if (ids.Count > 0)
                {
                    calls.AddRange(ids);
                    lastCall = start;
                }

                start++;
                continue;
            }

            string?[] results = [.. messages.Take(start..end).Select(result => NotEmpty(resultId(result)))];
            var found = ToolResultIds.FindProblems(calls, results).ToList();
            foreach (var (result, text) in found)
            {
                problem(
                    result is { } index
                        ? new ToolResultProblem(start + index, ToolResultProblem.ResultField, text)
                        : new ToolResultProblem(lastCall, ToolResultProblem.CallsField, text)
                );
            }

            if (found.Count == 0 && results[0] is not null)
            {
                var places = calls
                    .Index()
                    .Where(call => call.Item is not null)
                    .ToDictionary(call => call.Item!, call => call.Index);
                messages
                    .Take(start..end)
                    .Zip(results)
                    .OrderBy(result => places[result.Second!])
                    .Select(result => result.First)
                    .ToArray()
                    .CopyTo(sorted, start);
            }

            calls.Clear();
            start = end;
        }

        return sorted;
    }

    private static string? NotEmpty(string? id) => string.IsNullOrEmpty(id) ? null : id;
}
