namespace GlmTune.Data.Conversations;

/// <summary>Checks the ids by which tool results refer to calls, before <see cref="ToolResultOrder"/> sorts the
/// results.</summary>
/// <param name="Result">Index of the wrong result, from 0; null if the calls are wrong.</param>
/// <param name="Problem">Description of the problem; null if there is none.</param>
internal readonly record struct ToolResultIds(int? Result, string? Problem)
{
    /// <summary>Checks one run of results.</summary>
    /// <param name="calls">Ids of the calls before the results, in order; null for a call without an id.</param>
    /// <param name="results">The call id of each result; null if it has none.</param>
    public static ToolResultIds Check(IReadOnlyList<string?> calls, IReadOnlyList<string?> results)
    {
        if (results.All(id => id is null))
        {
            return default;
        }

        if (calls.OfType<string>().GroupBy(id => id).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            return new ToolResultIds(null, $"two calls have the id '{twice.Key}'; ids must be unique.");
        }

        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (result, id) in results.Index())
        {
            var problem =
                id is null
                    ? "a result without 'tool_call_id' among results that have one. Name the call in each of "
                        + "them, or in none."
                : !calls.Contains(id) ? $"'tool_call_id' is '{id}', but {Known(calls)}."
                : !seen.Add(id) ? $"a second result for the call '{id}'; expected one per call."
                : null;
            if (problem is not null)
            {
                return new ToolResultIds(result, problem);
            }
        }

        var missing = calls.Index().FirstOrDefault(call => call.Item is null || !seen.Contains(call.Item), (-1, null));
        return missing.Item1 >= 0 && calls.Skip(missing.Item1).Any(id => id is not null && seen.Contains(id))
            ? new ToolResultIds(
                null,
                $"the call '{missing.Item2}' has no result, but a later call has one. Results are matched to "
                    + "calls by their order, so it needs one too."
            )
            : default;
    }

    private static string Known(IReadOnlyList<string?> calls) =>
        calls.OfType<string>().Any()
            ? $"the calls before it have {string.Join(", ", calls.Select(id => id is null ? "none" : $"'{id}'").Take(8))}"
            : "no call before it has an id";
}
