namespace GlmTune.Constraints;

/// <summary>A context-free grammar over bytes, built from its end: each part is given what follows it and returns where
/// it begins.</summary>
/// <remarks>Not thread-safe while it is built; read-only once <see cref="GrammarAutomaton"/> has it.</remarks>
internal sealed class ByteGrammar(GrammarBudget? limit = null)
{
    /// <summary>The end of a rule, or of the whole.</summary>
    public const int End = 0;

    /// <summary>No upper bound of a repetition.</summary>
    public const int Unbounded = int.MaxValue;

    private const int MaxNodes = 100_000;
    private readonly List<Node> nodes = [new Node(NodeKind.End, default, 0, 0, null, [])];
    private readonly List<int> ruleStarts = [];
    private readonly GrammarBudget budget = limit ?? new();

    /// <summary>What a node does.</summary>
    public enum NodeKind
    {
        /// <summary>Goes back to where the rule was called from.</summary>
        End,

        /// <summary>Takes one byte.</summary>
        Byte,

        /// <summary>Goes on in any of several ways.</summary>
        Choice,

        /// <summary>Takes what a rule takes.</summary>
        Call,

        /// <summary>Takes what rules take, round by round.</summary>
        Repeat,
    }

    /// <summary>One node.</summary>
    public readonly record struct Node(NodeKind Kind, ByteSet Set, int Next, int Rule, Rounds? Rounds, int[] Choices);

    /// <summary>Where the whole begins.</summary>
    public int Start { get; set; } = End;

    public Node this[int node] => nodes[node];

    /// <summary>Where a rule begins.</summary>
    public int StartOf(int rule) => ruleStarts[rule];

    /// <summary>A rule that can be called before it is defined, as recursion needs.</summary>
    public int Declare()
    {
        ruleStarts.Add(-1);
        return ruleStarts.Count - 1;
    }

    /// <summary>Says where a rule begins; it ends at <see cref="End"/>.</summary>
    public void Define(int rule, int start) => ruleStarts[rule] = start;

    /// <summary>A rule that is defined at once.</summary>
    public int Rule(int start)
    {
        var rule = Declare();
        Define(rule, start);
        return rule;
    }

    /// <summary>One byte of a set.</summary>
    public int Byte(ByteSet set, int next) => Add(new Node(NodeKind.Byte, set, next, 0, null, []));

    /// <summary>Exactly these bytes.</summary>
    public int Literal(ReadOnlySpan<byte> bytes, int next)
    {
        for (var i = bytes.Length - 1; i >= 0; i--)
        {
            next = Byte(ByteSet.Of(bytes[i]), next);
        }

        return next;
    }

    /// <summary>Any of several ways; of none, nothing can come.</summary>
    public int Choice(params int[] starts) =>
        starts.Length == 1 ? starts[0] : Add(new Node(NodeKind.Choice, default, 0, 0, null, starts));

    /// <summary>What a rule takes.</summary>
    public int Call(int rule, int next) => Add(new Node(NodeKind.Call, default, next, rule, null, []));

    /// <summary>What a rule takes, at least <paramref name="least"/> and at most <paramref name="most"/>
    /// times.</summary>
    public int Repeat(int rule, int least, int most, int next) =>
        most == 0 ? next : Repeat(new CountedRounds(rule, least, most), next);

    /// <summary>What rules take, round by round.</summary>
    public int Repeat(Rounds rounds, int next) => Add(new Node(NodeKind.Repeat, default, next, 0, rounds, []));

    /// <summary>Counts work that building takes beyond the nodes themselves.</summary>
    /// <exception cref="ArgumentException">It is more than may be taken.</exception>
    public void Spend(int more) => budget.Spend(more);

    /// <summary>For each node, whether any text leads from it to the end of its rule.</summary>
    /// <remarks>Nothing may go where none does: an answer could not end any more.</remarks>
    public bool[] FindEnding()
    {
        var ending = new bool[nodes.Count];
        for (var changed = true; changed;)
        {
            changed = false;
            for (var id = 0; id < ending.Length; id++)
            {
                if (!ending[id] && Ends(nodes[id], ending))
                {
                    (ending[id], changed) = (true, true);
                }
            }
        }

        return ending;
    }

    private bool Ends(Node node, bool[] ending) =>
        node.Kind switch
        {
            NodeKind.End => true,
            NodeKind.Byte => ending[node.Next],
            NodeKind.Choice => Array.Exists(node.Choices, choice => ending[choice]),
            NodeKind.Call => ending[node.Next] && RuleEnds(node.Rule, ending),
            _ => ending[node.Next]
                && (node.Rounds!.MayEnd(0) || FirstWays(node.Rounds).Exists(way => RuleEnds(way.Rule, ending))),
        };

    /// <summary>Whether a rule has an end, as <see cref="FindEnding"/> found.</summary>
    public bool RuleEnds(int rule, bool[] ending) =>
        ruleStarts[rule] is >= 0 and var start && start < ending.Length && ending[start];

    private static List<(int Rule, long Next)> FirstWays(Rounds rounds)
    {
        var ways = new List<(int Rule, long Next)>();
        rounds.AddWays(0, ways);
        return ways;
    }

    private int Add(Node node)
    {
        if (nodes.Count == MaxNodes)
        {
            throw new ArgumentException("The schema is too large.");
        }

        budget.Spend(1);
        nodes.Add(node);
        return nodes.Count - 1;
    }
}
