namespace GlmTune.Constraints;

/// <summary>The characters of a text that an automaton accepts, with a minimum and maximum length; a state combines the
/// automaton's state and the number of characters so far.</summary>
/// <remarks>States from which no text of an allowed length can be completed are never entered.</remarks>
internal sealed class TextRepetition : Repetition
{
    private readonly TextMachine machine;
    private readonly (int Rule, int Next)[][] edges;
    private readonly Action<int> spend;
    private readonly int least;
    private readonly int most;

    // By remaining characters, then by state: whether a text can end after exactly this many more characters; without a
    // maximum, after at least this many.
    private readonly bool[][] left;

    /// <param name="machine">The automaton.</param>
    /// <param name="ruleOf">Returns the rule for one character from a set; null if none of its characters can be
    /// written.</param>
    /// <param name="least">Minimum number of characters.</param>
    /// <param name="most">Maximum number of characters.</param>
    /// <param name="spend">Counts the work.</param>
    /// <exception cref="FormatException">No such text exists.</exception>
    public TextRepetition(TextMachine machine, Func<CharacterSet, int?> ruleOf, int least, int most, Action<int> spend)
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
            // Beyond the minimum, characters are counted only if there is a maximum.
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
                return false; // Greater lengths make no difference.
            }
        }

        return false;
    }

    // Only as far as lengths matter: the last row applies to all greater lengths.
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
