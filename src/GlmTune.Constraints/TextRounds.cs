namespace GlmTune.Constraints;

/// <summary>The characters of a text that an automaton accepts, between min and max of them; a state is the
/// automaton's state and the count so far.</summary>
/// <remarks>No state is entered from which no text of the right length is left.</remarks>
internal sealed class TextRounds : Rounds
{
    private readonly TextMachine machine;
    private readonly (int Rule, int Next)[][] edges;
    private readonly Action<int> spend;
    private readonly int least;
    private readonly int most;

    // By characters left, then by state: whether a text of exactly so many more characters ends there; without a most:
    // of at least so many.
    private readonly bool[][] left;

    /// <param name="machine">The texts.</param>
    /// <param name="ruleOf">The rule of one character of a set; null where no character of it can be written.</param>
    /// <param name="least">How many characters at least.</param>
    /// <param name="most">How many characters at most.</param>
    /// <param name="spend">Counts the work.</param>
    /// <exception cref="FormatException">No text is left.</exception>
    public TextRounds(TextMachine machine, Func<CharacterSet, int?> ruleOf, int least, int most, Action<int> spend)
    {
        (this.machine, this.least, this.most, this.spend) = (machine, least, most, spend);
        edges =
        [
            .. machine.Edges.Select(ways =>
                ways.Select(way => (Rule: ruleOf(way.Set), way.Next))
                    .Where(way => way.Rule is not null)
                    .Select(way => (way.Rule!.Value, way.Next))
                    .ToArray()
            ),
        ];
        left = most == ByteGrammar.Unbounded ? LeftAtLeast() : LeftExactly();
        if (!Reaches(0, 0))
        {
            throw new FormatException("allows no text of the required length, or none at all");
        }
    }

    public override bool MayEnd(long state) => machine.Accepts[State(state)] && Count(state) >= least;

    public override void AddWays(long state, List<(int Rule, long Next)> ways)
    {
        var count = Count(state);
        if (count < most)
        {
            // Beyond the least number, characters only count where there is a most.
            var next = most == ByteGrammar.Unbounded ? Math.Min(count + 1, least) : count + 1;
            foreach (var (rule, to) in edges[State(state)])
            {
                if (Reaches(to, next))
                {
                    ways.Add((rule, ((long)next * edges.Length) + to));
                }
            }
        }
    }

    private int State(long state) => (int)(state % edges.Length);

    private int Count(long state) => (int)(state / edges.Length);

    private bool Reaches(int state, int count)
    {
        if (most == ByteGrammar.Unbounded)
        {
            return left[Math.Max(least - count, 0)][state];
        }

        for (var more = Math.Max(least - count, 0); more <= most - count; more++)
        {
            if (left[Math.Min(more, left.Length - 1)][state])
            {
                return true;
            }

            if (more >= left.Length)
            {
                return false; // Longer ones are no different.
            }
        }

        return false;
    }

    // As far as lengths make a difference: the last row holds for all that are longer.
    private bool[][] LeftExactly()
    {
        var rows = new List<bool[]> { machine.Accepts.ToArray() };
        while (rows.Count <= most && (rows.Count < 2 || !rows[^1].SequenceEqual(rows[^2])))
        {
            rows.Add(Longer(rows));
        }

        return [.. rows];
    }

    private bool[][] LeftAtLeast()
    {
        var any = machine.Accepts.ToArray();
        for (var changed = true; changed;)
        {
            changed = false;
            for (var state = 0; state < any.Length; state++)
            {
                if (!any[state] && Array.Exists(edges[state], way => any[way.Next]))
                {
                    (any[state], changed) = (true, true);
                }
            }
        }

        var rows = new List<bool[]> { any };
        while (rows.Count <= least)
        {
            rows.Add(Longer(rows));
        }

        return [.. rows];
    }

    private bool[] Longer(List<bool[]> rows)
    {
        spend(8 + edges.Length + edges.Sum(ways => ways.Length));
        return [.. edges.Select(ways => Array.Exists(ways, way => rows[^1][way.Next]))];
    }
}
