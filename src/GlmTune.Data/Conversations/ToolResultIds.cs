using System.Globalization;

namespace GlmTune.Data.Conversations;

/// <summary>The rule for the ids by which tool results refer to calls: each result of a round names one call of that
/// round, each call has one result, and no call is left out before an answered one. Results of a round in which no
/// result has an id belong to the calls in order.</summary>
internal static class ToolResultIds
{
    private const int ShownIds = 8;
    private const int ShownCharacters = 60;

    /// <summary>Checks one round.</summary>
    /// <param name="calls">Ids of the calls before the results, in order; null for a call without an id.</param>
    /// <param name="results">The call id of each result; null if it has none.</param>
    /// <returns>The problems, each with the index of its result, or null if the calls are wrong.</returns>
    public static IEnumerable<(int? Result, string Text)> FindProblems(
        IReadOnlyList<string?> calls,
        IReadOnlyList<string?> results
    )
    {
        if (results.All(id => id is null))
        {
            yield break;
        }

        if (calls.OfType<string>().GroupBy(id => id).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            yield return (null, $"contain the id {Shown(twice.Key)} twice; each call needs its own");
            yield break;
        }

        var (known, seen, wrong) = (calls.ToHashSet(), new HashSet<string>(StringComparer.Ordinal), false);
        foreach (var (result, id) in results.Index())
        {
            var problem =
                id is null ? "is missing, but other results have one; name the call in every result, or in none"
                : !known.Contains(id) ? $"is {Shown(id)}, but {Known(calls)}"
                : !seen.Add(id) ? $"is {Shown(id)}, the id of a call that already has a result; expected one each"
                : null;
            if (problem is not null)
            {
                wrong = true;
                yield return (result, problem);
            }
        }

        var missing = calls.Index().FirstOrDefault(call => call.Item is null || !seen.Contains(call.Item), (-1, null));
        if (!wrong && missing.Item1 >= 0 && calls.Skip(missing.Item1).Any(id => id is not null && seen.Contains(id)))
        {
            yield return (
                null,
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"contain a call without a result "
                        + $"({(missing.Item2 is { } id ? Shown(id) : $"number {missing.Item1 + 1}, without an id")}), "
                        + $"but a later call has one. Results belong to calls by their order, so it needs one too"
                )
            );
        }
    }

    private static string Known(IReadOnlyList<string?> calls) =>
        calls.OfType<string>().Any()
            ? "the calls before it have "
                + string.Join(", ", calls.Take(ShownIds).Select(id => id is null ? "none" : Shown(id)))
                + (calls.Count > ShownIds ? ", …" : "")
            : "no call before it has an id";

    private static string Shown(string id) => $"'{(id.Length > ShownCharacters ? id[..ShownCharacters] + "…" : id)}'";
}
