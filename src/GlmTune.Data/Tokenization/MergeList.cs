namespace GlmTune.Data.Tokenization;

/// <summary>The merges implied by ranks: every way to form a token from two others.</summary>
internal static class MergeList
{
    /// <summary>All merges by priority: by the rank of the joined token, then of its left part, then of its right
    /// part.</summary>
    /// <returns>Ranks of the left and the right part of each merge.</returns>
    public static List<(int Left, int Right)> Of(IReadOnlyList<byte[]> tokens)
    {
        var find = TokenRanks.Index(tokens).GetAlternateLookup<ReadOnlySpan<byte>>();
        var merges = new List<(int Left, int Right)>(2 * tokens.Count);
        foreach (var token in tokens)
        {
            var first = merges.Count;
            AddMergesInto(token, find, merges);
            merges.Sort(first, merges.Count - first, Comparer<(int, int)>.Default);
        }

        return merges;
    }

    /// <summary>Adds every pair of tokens that together are a token.</summary>
    /// <param name="token">Bytes of the token.</param>
    /// <param name="find">The rank of each token.</param>
    /// <param name="merges">Receives the ranks of the parts.</param>
    public static void AddMergesInto(
        byte[] token,
        Dictionary<byte[], int>.AlternateLookup<ReadOnlySpan<byte>> find,
        List<(int Left, int Right)> merges
    )
    {
        for (var cut = 1; cut < token.Length; cut++)
        {
            if (
                find.TryGetValue(token.AsSpan(0, cut), out var left)
                && find.TryGetValue(token.AsSpan(cut), out var right)
            )
            {
                merges.Add((left, right));
            }
        }
    }
}
