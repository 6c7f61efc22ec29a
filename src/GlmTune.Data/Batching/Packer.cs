namespace GlmTune.Data.Batching;

/// <summary>Groups examples into packed rows: micro-batches with a limited number of tokens.</summary>
internal static class Packer
{
    /// <summary>Groups examples into rows of at most <paramref name="maxTokens"/>: first-fit decreasing.</summary>
    /// <param name="examples">The examples as (index, tokens).</param>
    /// <param name="maxTokens">Capacity of a row in tokens.</param>
    /// <returns>The indices in each row; every example is in exactly one row. Rows are in the order in which they were
    /// opened, longest examples first.</returns>
    /// <exception cref="ArgumentException">An example is longer than a row.</exception>
    public static List<List<int>> Group(IEnumerable<(int Index, int Tokens)> examples, int maxTokens)
    {
        var rows = new List<List<int>>();
        var room = new FirstFit();
        foreach (var (index, tokens) in examples.OrderByDescending(example => example.Tokens))
        {
            if (tokens > maxTokens)
            {
                throw new ArgumentException(
                    $"Example {index} has {tokens} tokens, more than the {maxTokens} of a packed row; "
                        + "increase the packed length or truncate examples earlier.",
                    nameof(maxTokens)
                );
            }

            var row = room.Take(tokens);
            if (row < 0)
            {
                row = room.Open(maxTokens - tokens);
                rows.Add([]);
            }

            rows[row].Add(index);
        }

        return rows;
    }

    /// <summary>Finds the first row with enough room in logarithmic time, using a tree that stores the maximum room of
    /// each subtree.</summary>
    private sealed class FirstFit
    {
        private int[] most = [0, 0];
        private int leaves = 1;
        private int opened;

        public int Open(int left)
        {
            if (opened == leaves)
            {
                Grow();
            }

            Set(opened, left);
            return opened++;
        }

        public int Take(int tokens)
        {
            if (opened == 0 || most[1] < tokens)
            {
                return -1;
            }

            var node = 1;
            while (node < leaves)
            {
                node = most[2 * node] >= tokens ? 2 * node : (2 * node) + 1;
            }

            var row = node - leaves;
            Set(row, most[node] - tokens);
            return row;
        }

        private void Set(int row, int left)
        {
            var node = leaves + row;
            most[node] = left;
            for (node /= 2; node > 0; node /= 2)
            {
                most[node] = Math.Max(most[2 * node], most[(2 * node) + 1]);
            }
        }

        private void Grow()
        {
            var old = most.AsSpan(leaves, opened).ToArray();
            leaves *= 2;
            most = new int[2 * leaves];
            for (var row = 0; row < old.Length; row++)
            {
                Set(row, old[row]);
            }
        }
    }
}
