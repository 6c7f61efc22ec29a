namespace GlmTune.Recipes.Configuration;

/// <summary>Finds the word that was probably meant.</summary>
internal static class Suggestion
{
    /// <summary>The candidate with the fewest edits from <paramref name="word"/>; null if it needs more edits than a
    /// third of the length (at least 2).</summary>
    public static string? For(string word, IEnumerable<string> candidates)
    {
        var limit = Math.Max(2, word.Length / 3);
        return candidates
            // Every character of the difference is an edit; so a long word costs nothing.
            .Where(candidate => Math.Abs(candidate.Length - word.Length) <= limit)
            .Select(candidate => (Name: candidate, Edits: Edits(word.ToLowerInvariant(), candidate.ToLowerInvariant())))
            .Where(candidate =>
                candidate.Edits <= limit && candidate.Edits < Math.Max(word.Length, candidate.Name.Length)
            )
            .OrderBy(candidate => candidate.Edits)
            .Select(candidate => candidate.Name)
            .FirstOrDefault();
    }

    /// <summary><c>; did you mean 'x'?</c>, or an empty text if no candidate is similar.</summary>
    public static string Text(string word, IEnumerable<string> candidates) =>
        For(word, candidates) is { } near ? $"; did you mean '{near}'?" : "";

    /// <summary>Number of insertions, deletions, replacements and swaps of adjacent characters that turn one word into
    /// the other.</summary>
    public static int Edits(string from, string to)
    {
        var table = new int[from.Length + 1, to.Length + 1];
        for (var i = 0; i <= from.Length; i++)
        {
            for (var j = 0; j <= to.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    table[i, j] = i + j;
                    continue;
                }

                var replaced = table[i - 1, j - 1] + (from[i - 1] == to[j - 1] ? 0 : 1);
                var best = Math.Min(replaced, Math.Min(table[i - 1, j], table[i, j - 1]) + 1);
                var swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                table[i, j] = swapped ? Math.Min(best, table[i - 2, j - 2] + 1) : best;
            }
        }

        return table[from.Length, to.Length];
    }
}
