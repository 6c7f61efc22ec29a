namespace GlmTune.Constraints;

/// <summary>A context-free grammar over bytes, built from the end: each part receives its continuation and returns its
/// start.</summary>
/// <remarks>Not thread-safe while it is being built; read-only once passed to <see cref="GrammarAutomaton"/>.</remarks>
internal sealed class ByteGrammar(GrammarBudget? limit = null)
{
    /// <summary>The end of a rule, or of the whole grammar.</summary>
    public const int End = 0;

    /// <summary>No upper limit on a repetition.</summary>
    public const int Unbounded = int.MaxValue;

    private const int MaxNodes = 100_000;
    private readonly List<Node> nodes = [new Node(NodeKind.End, default, 0, 0, null, [])];
    private readonly List<int> ruleStarts = [];
    private readonly GrammarBudget budget = limit ?? new();

    /// <summary>The kinds of nodes.</summary>
    public enum NodeKind
    {
        /// <summary>Returns to where the rule was called.</summary>
        End,

        /// <summary>Reads one byte.</summary>
        Byte,

        /// <summary>Continues in one of several ways.</summary>
        Choice,

        /// <summary>Reads what a rule accepts.</summary>
        Call,

        /// <summary>Reads what rules accept, round by round.</summary>
        Repeat,
    }

    /// <summary>One node.</summary>
    public readonly record struct Node(
        NodeKind Kind,
        ByteSet Set,
        int Next,
        int Rule,
        Repetition? Repetition,
        int[] Choices
    );

    /// <summary>Where the whole grammar starts.</summary>
    public int Start { get; set; } = End;

    public Node this[int node] => nodes[node];

    /// <summary>Where a rule starts.</summary>
    public int StartOf(int rule) => ruleStarts[rule];

    /// <summary>Declares a rule that can be called before it is defined, as recursion requires.</summary>
    public int Declare()
    {
        ruleStarts.Add(-1);
        return ruleStarts.Count - 1;
    }

    /// <summary>Sets where a rule starts; the rule ends at <see cref="End"/>.</summary>
    public void Define(int rule, int start) => ruleStarts[rule] = start;

    /// <summary>Declares and defines a rule at once.</summary>
    public int Rule(int start)
    {
        var rule = Declare();
        Define(rule, start);
        return rule;
    }

    /// <summary>One byte from a set.</summary>
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

    /// <summary>One of several alternatives; without any, nothing is accepted.</summary>
    public int Choice(params int[] starts) =>
        starts.Length == 1 ? starts[0] : Add(new Node(NodeKind.Choice, default, 0, 0, null, starts));

    /// <summary>What a rule accepts.</summary>
    public int Call(int rule, int next) => Add(new Node(NodeKind.Call, default, next, rule, null, []));

    /// <summary>What a rule accepts, at least <paramref name="least"/> and at most <paramref name="most"/>
    /// times.</summary>
    public int Repeat(int rule, int least, int most, int next) =>
        most == 0 ? next : Repeat(new CountedRepetition(rule, least, most), next);

    /// <summary>What rules accept, round by round.</summary>
    public int Repeat(Repetition repetition, int next) =>
        Add(new Node(NodeKind.Repeat, default, next, 0, repetition, []));

    /// <summary>Counts work done while building, beyond the nodes themselves.</summary>
    /// <exception cref="ArgumentException">The budget is exceeded.</exception>
    public void Spend(int more) => budget.Spend(more);

    /// <summary>For each node, whether some text leads from it to the end of its rule.</summary>
    /// <remarks>Other nodes must never be entered: an answer could not end.</remarks>
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
                && (node.Repetition!.MayEnd(0) || FirstWays(node.Repetition).Exists(way => RuleEnds(way.Rule, ending))),
        };

    /// <summary>Whether a rule can end, according to <see cref="FindEnding"/>.</summary>
    public bool RuleEnds(int rule, bool[] ending) =>
        ruleStarts[rule] is >= 0 and var start && start < ending.Length && ending[start];

    private static List<(int Rule, long Next)> FirstWays(Repetition repetition)
    {
        var ways = new List<(int Rule, long Next)>();
        repetition.AddWays(0, ways);
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
