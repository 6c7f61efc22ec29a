namespace GlmTune.Data.Conversations;

/// <summary>Checks the ids with which results of tools name their calls, before <see cref="ToolResultOrder"/> puts
/// them in the order of the calls.</summary>
/// <param name="Result">Which result is wrong, from 0; null where the calls are.</param>
/// <param name="Problem">What is wrong, or null.</param>
internal readonly record struct ToolResultIds(int? Result, string? Problem)
{
    /// <summary>Checks one run of results.</summary>
    /// <param name="calls">The ids of the calls before the results, in order; null where a call has none.</param>
    /// <param name="results">The id of the call that each result names; null where it names none.</param>
    public static ToolResultIds Check(IReadOnlyList<string?> calls, IReadOnlyList<string?> results)
    {
        if (results.All(id => id is null))
        {
            return default;
        }

        if (calls.OfType<string>().GroupBy(id => id).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            return new ToolResultIds(null, $"two calls have the id '{twice.Key}'; each needs its own.");
        }

        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (result, id) in results.Index())
        {
            var problem =
                id is null
                    ? "a result without 'tool_call_id' among results that have one. Name the call in each, or in none."
                : !calls.Contains(id) ? $"'tool_call_id' is '{id}', but {Known(calls)}."
                : !seen.Add(id) ? $"a second result for the call '{id}'; expected one each."
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
                $"the call '{missing.Item2}' has no result, but a later call has one. Results belong to calls by their "
                    + "order, so it needs one too."
            )
            : default;
    }

    private static string Known(IReadOnlyList<string?> calls) =>
        calls.OfType<string>().Any()
            ? $"the calls before it have {string.Join(", ", calls.Select(id => id is null ? "none" : $"'{id}'").Take(8))}"
            : "no call before it has an id";
}
