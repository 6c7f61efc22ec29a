using System.Runtime.InteropServices;

namespace GlmTune.Constraints;

/// <summary>A set of texts as a deterministic automaton over characters, so that sets can be intersected and
/// complemented.</summary>
/// <remarks>Every state has a transition for every character; 0 is the initial state. Immutable.</remarks>
internal sealed class TextMachine
{
    private const int MaxStates = 4000;
    private const int MaxNodes = 10_000;
    private const int MaxWork = 2_000_000; // For one expression or one product.

    private TextMachine(List<List<(CharacterSet Set, int Next)>> edges, List<bool> accepts) =>
        (Edges, Accepts) = (edges, accepts);

    /// <summary>Transitions by state.</summary>
    public IReadOnlyList<IReadOnlyList<(CharacterSet Set, int Next)>> Edges { get; }

    /// <summary>Whether a text may end in a state.</summary>
    public IReadOnlyList<bool> Accepts { get; }

    /// <summary>All texts except these.</summary>
    public static TextMachine AllBut(IEnumerable<string> texts)
    {
        // A tree of the texts; 1 is the dead state.
        var children = new List<SortedDictionary<int, int>> { new(), new() };
        var ends = new List<bool> { true, true };
        foreach (var text in texts)
        {
            var state = 0;
            foreach (var rune in text.EnumerateRunes())
            {
                if (!children[state].TryGetValue(rune.Value, out var next))
                {
                    next = Grow(children.Count);
                    children[state][rune.Value] = next;
                    children.Add([]);
                    ends.Add(true);
                }

                state = next;
            }

            ends[state] = false;
        }

        var edges = children
            .Select(known => new List<(CharacterSet, int)>(
                known.Select(child => (CharacterSet.Range(child.Key, child.Key), child.Value))
            )
            {
                (
                    known
                        .Keys.Aggregate(
                            CharacterSet.Empty,
                            (set, character) => set | CharacterSet.Range(character, character)
                        )
                        .Complement(),
                    1
                ),
            })
            .ToList();
        return new TextMachine(edges, ends);
    }

    /// <summary>The texts that match an expression, including its lookaheads.</summary>
    /// <exception cref="FormatException">Too many states are needed.</exception>
    public static TextMachine Of(Pattern pattern, Action<int> spend)
    {
        var machine = new Builder(spend).Build(pattern.Whole);
        foreach (var (inner, negated) in pattern.Ahead)
        {
            var ahead = new Builder(spend).Build(new Pattern.Part.Row([new Pattern.Part.Start(), inner]));
            machine = machine.And(negated ? ahead.Not() : ahead, spend);
        }

        return machine;
    }

    /// <summary>The texts not in this set.</summary>
    public TextMachine Not() =>
        new([.. Edges.Select(edges => edges.ToList())], [.. Accepts.Select(accepts => !accepts)]);

    /// <summary>The texts in both sets.</summary>
    /// <exception cref="FormatException">Too many states are needed.</exception>
    public TextMachine And(TextMachine other, Action<int> spend) =>
        Product([this, other], ways => ways[0] && ways[1], spend);

    /// <summary>The texts selected by a rule, given which of the sets contain them.</summary>
    /// <exception cref="FormatException">Too many states are needed.</exception>
    public static TextMachine Product(
        IReadOnlyList<TextMachine> machines,
        Func<bool[], bool> accepts,
        Action<int> spend
    )
    {
        var work = new Work(spend);
        return Reached(
            new int[machines.Count],
            Next,
            parts => accepts([.. parts.Select((part, i) => machines[i].Accepts[part])])
        );

        // Refined machine by machine: the character sets of each are split by those of the next.
        List<(CharacterSet Set, int[] Next)> Next(int[] parts)
        {
            List<(CharacterSet Set, int[] Next)> cut = [(CharacterSet.All, [])];
            for (var i = 0; i < machines.Count; i++)
            {
                var finer = new List<(CharacterSet, int[])>();
                foreach (var (set, next) in cut)
                {
                    foreach (var (other, to) in machines[i].Edges[parts[i]])
                    {
                        work.Spend(5 + set.Ranges.Count + other.Ranges.Count);
                        if (set - (set - other) is { IsEmpty: false } both)
                        {
                            finer.Add((both, [.. next, to]));
                        }
                    }
                }

                cut = finer;
            }

            return cut;
        }
    }

    /// <summary>Whether a text is in the set.</summary>
    public bool Takes(string text)
    {
        var state = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            state = Edges[state].First(edge => edge.Set.Contains(rune.Value)).Next;
        }

        return Accepts[state];
    }

    private static int Grow(int states) => states < MaxStates ? states : throw TooLarge();

    // The machine of all states reachable from the initial one; equal numbers are one state.
    private static TextMachine Reached(
        int[] first,
        Func<int[], IEnumerable<(CharacterSet Set, int[] Next)>> next,
        Func<int[], bool> accepts
    )
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        var states = new List<int[]>();
        var edges = new List<List<(CharacterSet, int)>>();
        Add(first);
        for (var state = 0; state < states.Count; state++)
        {
            edges.Add(Joined(next(states[state]).Select(edge => (edge.Set, Add(edge.Next)))));
        }

        return new TextMachine(edges, [.. states.Select(accepts)]);

        int Add(int[] numbers)
        {
            var key = new string(MemoryMarshal.Cast<int, char>(numbers));
            if (!ids.TryGetValue(key, out var id))
            {
                ids[key] = id = Grow(states.Count);
                states.Add(numbers);
            }

            return id;
        }
    }

    private static FormatException TooLarge() => new("needs too many states");

    private static List<(CharacterSet, int)> Joined(IEnumerable<(CharacterSet Set, int Next)> edges) =>
        [
            .. edges
                .GroupBy(edge => edge.Next)
                .Select(group => (group.Select(edge => edge.Set).Aggregate((a, b) => a | b), group.Key)),
        ];

    // Limits this machine alone, and the total.
    private sealed class Work(Action<int> spend)
    {
        private int done;

        public void Spend(int more)
        {
            spend(more);
            if ((done += more) > MaxWork)
            {
                throw TooLarge();
            }
        }
    }

    // Thompson's construction, then the set of nodes that each character leads to.
    private sealed class Builder(Action<int> spend)
    {
        private readonly List<Node> nodes = [new Node(null, [], Where.Anywhere)]; // 0: matched.
        private readonly Work work = new(spend);

        private enum Where
        {
            Anywhere,
            Start,
            End,
        }

        public TextMachine Build(Pattern.Part whole)
        {
            var start = Build(whole, 0);
            var sets = nodes.Select(node => node.Set).OfType<CharacterSet>().Distinct().ToList();
            var classes = Classes(sets);

            // A position is twice the node, plus one once $ has been passed; −1: matched, whatever follows.
            return Reached(
                Follow([start * 2], atStart: true),
                places => classes.Select(each => (each.Set, After(places, each.Within, start))),
                places => places is [-1] || places.Contains(1)
            );
        }

        // Characters in the same sets lead to the same nodes.
        private static List<(CharacterSet Set, HashSet<CharacterSet> Within)> Classes(List<CharacterSet> sets)
        {
            List<(CharacterSet Set, HashSet<CharacterSet> Within)> classes = [(CharacterSet.All, [])];
            foreach (var set in sets)
            {
                var finer = new List<(CharacterSet, HashSet<CharacterSet>)>();
                foreach (var (known, within) in classes)
                {
                    var outside = known - set;
                    var inside = known - outside;
                    if (!inside.IsEmpty)
                    {
                        finer.Add((inside, [.. within, set]));
                    }

                    if (!outside.IsEmpty)
                    {
                        finer.Add((outside, within));
                    }
                }

                classes = finer;
            }

            return classes;
        }

        private int[] After(int[] places, HashSet<CharacterSet> within, int start)
        {
            if (places is [-1])
            {
                return places;
            }

            // Without ^, a match may start at any character.
            var next = new List<int> { start * 2 };
            foreach (var place in places)
            {
                work.Spend(2);
                if (place % 2 == 0 && nodes[place / 2] is { Set: { } set } node && within.Contains(set))
                {
                    next.Add(node.Next[0] * 2);
                }
            }

            return Follow(next, atStart: false);
        }

        private int[] Follow(List<int> from, bool atStart)
        {
            var (seen, open) = (new HashSet<int>(from), new Stack<int>(from));
            while (open.TryPop(out var place))
            {
                work.Spend(2);
                var (node, ended) = (nodes[place / 2], place % 2);
                if (place == 0)
                {
                    return [-1];
                }

                if (node.Set is not null || (node.Where == Where.Start && !atStart))
                {
                    continue;
                }

                foreach (var next in node.Next)
                {
                    if (seen.Add((next * 2) + (node.Where == Where.End ? 1 : ended)))
                    {
                        open.Push((next * 2) + (node.Where == Where.End ? 1 : ended));
                    }
                }
            }

            return [.. seen.Where(place => place == 1 || nodes[place / 2].Set is not null && place % 2 == 0).Order()];
        }

        private int Build(Pattern.Part part, int next)
        {
            work.Spend(1);
            switch (part)
            {
                case Pattern.Part.OneOf one:
                    return Add(new Node(one.Set, [next], Where.Anywhere));
                case Pattern.Part.Start:
                    return Add(new Node(null, [next], Where.Start));
                case Pattern.Part.End:
                    return Add(new Node(null, [next], Where.End));
                case Pattern.Part.Row row:
                    return row.Parts.Reverse().Aggregate(next, (following, inner) => Build(inner, following));
                case Pattern.Part.Any any:
                    return Add(new Node(null, [.. any.Ways.Select(way => Build(way, next))], Where.Anywhere));
                case Pattern.Part.Repeated repeated:
                    return Build(repeated, next);
                default:
                    throw new InvalidOperationException();
            }
        }

        private int Build(Pattern.Part.Repeated repeated, int next)
        {
            var start = next;
            if (repeated.Max == ByteGrammar.Unbounded)
            {
                start = Add(new Node(null, [next], Where.Anywhere));
                nodes[start].Next.Add(Build(repeated.Inner, start));
            }
            else
            {
                for (var i = repeated.Min; i < repeated.Max; i++)
                {
                    start = Add(new Node(null, [next, Build(repeated.Inner, start)], Where.Anywhere));
                }
            }

            for (var i = 0; i < repeated.Min; i++)
            {
                start = Build(repeated.Inner, start);
            }

            return start;
        }

        private int Add(Node node)
        {
            nodes.Add(nodes.Count < MaxNodes ? node : throw TooLarge());
            return nodes.Count - 1;
        }

        private sealed record Node(CharacterSet? Set, List<int> Next, Where Where);
    }
}
