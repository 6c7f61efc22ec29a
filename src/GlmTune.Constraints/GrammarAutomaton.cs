using System.Runtime.InteropServices;

namespace GlmTune.Constraints;

/// <summary>Reads bytes according to a grammar, and becomes deterministic as states are visited.</summary>
/// <remarks>A state is the set of grammar positions, each with its stack of callers, that are consistent with the bytes
/// read so far. Stacks are shared and states are cached, so reading a byte is usually one table lookup. Callers must
/// lock it.</remarks>
internal sealed class GrammarAutomaton
{
    private const int MaxPositions = 2000;
    private const int MaxStates = 8192;
    private const int MaxMasks = 512;
    private const int MaxHeld = 1 << 20; // Total number of positions in all cached states.
    private readonly ByteGrammar grammar;
    private readonly bool[] ending;
    private readonly Dictionary<(int Node, long Count, Frame? Caller), Frame> frames = [];
    private readonly Dictionary<string, State> states = [];
    private int masks;
    private int held;
    private int frameIds;
    private int generation;
    private long workLeft = long.MaxValue;

    public GrammarAutomaton(ByteGrammar grammar)
    {
        this.grammar = grammar;
        ending = grammar.FindEnding();
        var builder = new StateBuilder(this);
        builder.Enter(grammar.Start, 0, null);
        Start = builder.ToState() ?? throw new ArgumentException("The grammar accepts nothing.", nameof(grammar));
    }

    /// <summary>Maximum number of positions examined for one mask. All answers wait for it: a million take about half a
    /// second.</summary>
    public long MaxWork { get; init; } = 1_000_000;

    /// <summary>The state before the first byte.</summary>
    public State Start { get; }

    /// <summary>The state after one more byte; null if the grammar does not allow this byte here.</summary>
    public State? Step(State state, byte value)
    {
        Refresh(state);
        if (state.Known is { } known && known[value])
        {
            return state.Next![value];
        }

        if (states.Count >= MaxStates || held >= MaxHeld)
        {
            Forget();
            Refresh(state);
        }

        var next = Find(state, value);
        state.Known ??= new bool[256];
        state.Next ??= new State?[256];
        (state.Known[value], state.Next[value]) = (true, next);
        return next;
    }

    /// <summary>The tokens that may come next, one bit each.</summary>
    /// <exception cref="ConstraintException">More than <see cref="MaxWork"/> positions would be examined.</exception>
    public ulong[] MaskOf(State state, TokenTrie trie)
    {
        Refresh(state);
        if (state.Mask is { } known)
        {
            return known;
        }

        workLeft = MaxWork;
        try
        {
            var mask = trie.Allowed(this, state);
            if (++masks > MaxMasks)
            {
                Forget();
                masks = 1;
            }

            Refresh(state);
            return state.Mask = mask;
        }
        finally
        {
            workLeft = long.MaxValue;
        }
    }

    // Bytes that fit the same positions lead to the same state; most bytes inside a string do.
    private State? Find(State state, byte value)
    {
        var fitting = 0UL;
        var places = state.Positions;
        for (var i = 0; i < places.Length; i++)
        {
            fitting |= grammar[places[i].Node].Set.Contains(value) ? 1UL << (i & 63) : 0;
        }

        if (fitting == 0)
        {
            return null;
        }

        if (places.Length <= 64 && state.Leading.TryGetValue(fitting, out var known))
        {
            return known;
        }

        var builder = new StateBuilder(this);
        foreach (var (node, caller) in places)
        {
            if (grammar[node].Set.Contains(value))
            {
                builder.Enter(grammar[node].Next, 0, caller);
            }
        }

        var next = builder.ToState();
        workLeft -= places.Length + builder.Looked;
        if (workLeft < 0)
        {
            throw TooAmbiguous();
        }

        if (places.Length <= 64)
        {
            state.Leading[fitting] = next;
        }

        return next;
    }

    private static ConstraintException TooAmbiguous() =>
        new("The schema allows too many parses of one answer at once, because alternatives start in the same way.");

    // States in use survive; their links to other states are recomputed. Frames keep their ids, so that no new frame
    // gets the id of an old one.
    private void Forget()
    {
        generation++;
        states.Clear();
        frames.Clear();
        (masks, held) = (0, 0);
    }

    // Drops links that were found before the cache was last cleared.
    private void Refresh(State state)
    {
        if (state.Generation != generation)
        {
            (state.Known, state.Next, state.Mask, state.Generation) = (null, null, null, generation);
            state.Leading.Clear();
        }
    }

    private Frame Push(int node, long count, Frame? caller)
    {
        ref var frame = ref CollectionsMarshal.GetValueRefOrAddDefault(frames, (node, count, caller), out _);
        return frame ??= new Frame(node, count, caller, ++frameIds);
    }

    /// <summary>Where parsing continues when a rule ends.</summary>
    public sealed class Frame(int node, long count, Frame? caller, int id)
    {
        /// <summary>The node after the call or repetition.</summary>
        public int Node => node;

        /// <summary>State of the repetition after the round; −1 for a call.</summary>
        public long Count => count;

        public Frame? Caller => caller;

        public int Id => id;
    }

    /// <summary>What may come next in a state.</summary>
    public sealed class State((int Node, Frame? Caller)[] places, bool accepts, int generation)
    {
        public (int Node, Frame? Caller)[] Positions => places;

        /// <summary>Whether the text so far is complete.</summary>
        public bool Accepts => accepts;

        public bool[]? Known { get; set; }

        public State?[]? Next { get; set; }

        /// <summary>Target states by the set of positions that a byte fits (one bit each, if there are at most
        /// 64).</summary>
        public Dictionary<ulong, State?> Leading { get; } = [];

        public ulong[]? Mask { get; set; }

        /// <summary>Number of cache clearings when the links stored here were found.</summary>
        public int Generation { get; set; } = generation;
    }

    private sealed class StateBuilder(GrammarAutomaton automaton)
    {
        private readonly HashSet<(int Node, long Count, Frame? Caller)> seen = [];
        private readonly List<(int Node, Frame? Caller)> places = [];
        private readonly Stack<(int Node, long Count, Frame? Caller)> open = [];
        private readonly List<(int Rule, long Next)> ways = [];
        private bool accepts;

        /// <summary>Number of positions and callers examined.</summary>
        public int Looked => seen.Count;

        // Follows all transitions that read no byte. Count is the state of a repetition, if the node is one.
        public void Enter(int start, long repetition, Frame? from)
        {
            open.Push((start, repetition, from));
            while (open.TryPop(out var place))
            {
                if (!automaton.ending[place.Node] || !seen.Add(place))
                {
                    continue; // Never enter what cannot end.
                }

                if (seen.Count > MaxPositions)
                {
                    throw TooAmbiguous();
                }

                var (id, count, caller) = place;
                var node = automaton.grammar[id];
                switch (node.Kind)
                {
                    case ByteGrammar.NodeKind.Byte:
                        places.Add((id, caller));
                        break;
                    case ByteGrammar.NodeKind.Choice:
                        foreach (var choice in node.Choices)
                        {
                            open.Push((choice, 0, caller));
                        }

                        break;
                    case ByteGrammar.NodeKind.Call:
                        open.Push((automaton.grammar.StartOf(node.Rule), 0, automaton.Push(node.Next, -1, caller)));
                        break;
                    case ByteGrammar.NodeKind.Repeat:
                        if (node.Repetition!.MayEnd(count))
                        {
                            open.Push((node.Next, 0, caller));
                        }

                        ways.Clear();
                        node.Repetition.AddWays(count, ways);
                        foreach (
                            var (rule, next) in ways.Where(way =>
                                automaton.grammar.RuleEnds(way.Rule, automaton.ending)
                            )
                        )
                        {
                            open.Push((automaton.grammar.StartOf(rule), 0, automaton.Push(id, next, caller)));
                        }

                        break;
                    default:
                        if (caller is null)
                        {
                            accepts = true;
                        }
                        else
                        {
                            open.Push((caller.Node, Math.Max(caller.Count, 0), caller.Caller));
                        }

                        break;
                }
            }
        }

        public State? ToState()
        {
            if (places.Count == 0 && !accepts)
            {
                return null;
            }

            var ids = places
                .Select(place => ((long)place.Node << 32) | (uint)(place.Caller?.Id ?? 0))
                .Order()
                .Prepend(accepts ? 1 : 0)
                .ToArray();
            var key = new string(MemoryMarshal.Cast<long, char>(ids));
            ref var state = ref CollectionsMarshal.GetValueRefOrAddDefault(automaton.states, key, out _);
            if (state is null)
            {
                state = new State([.. places], accepts, automaton.generation);
                automaton.held += places.Count;
            }

            return state;
        }
    }
}
