using System.Runtime.CompilerServices;
using GlmTune.Data.Tokenization;

namespace GlmTune.Constraints;

/// <summary>The vocabulary as a tree of bytes, so that tokens with a common prefix are checked together.</summary>
/// <remarks>Nodes are stored depth first, so that a walk moves forward through arrays and skips the subtree of a byte
/// that does not fit. Immutable.</remarks>
internal sealed class TokenTrie
{
    private static readonly ConditionalWeakTable<Tokenizer, TokenTrie> OfTokenizers = [];
    private readonly List<byte> values = [];
    private readonly List<int> depths = [];
    private readonly List<int> ends = []; // For each node, the first node after its subtree.
    private readonly List<int> tokens = []; // The token that ends at the node, or −1.
    private readonly int words;
    private readonly int deepest;

    private TokenTrie(Tokenizer tokenizer)
    {
        words = (tokenizer.Count + 63) / 64;
        var ids = Enumerable.Range(0, tokenizer.RankCount).ToArray();
        Array.Sort(ids, (a, b) => tokenizer.Ranks[a].AsSpan().SequenceCompareTo(tokenizer.Ranks[b]));
        var open = new List<int>();
        byte[] before = [];
        foreach (var id in ids)
        {
            var bytes = tokenizer.Ranks[id];
            var common = before.AsSpan().CommonPrefixLength(bytes);
            Close(open, common);
            for (var depth = common; depth < bytes.Length; depth++)
            {
                open.Add(values.Count);
                values.Add(bytes[depth]);
                depths.Add(depth);
                ends.Add(0);
                tokens.Add(depth == bytes.Length - 1 ? id : -1);
            }

            before = bytes;
            deepest = Math.Max(deepest, bytes.Length);
        }

        Close(open, 0);
    }

    /// <summary>The tree of a tokenizer; built once per tokenizer.</summary>
    public static TokenTrie Of(Tokenizer tokenizer) => OfTokenizers.GetValue(tokenizer, key => new TokenTrie(key));

    /// <summary>The ordinary tokens whose bytes an automaton accepts, one bit each.</summary>
    public ulong[] Allowed(GrammarAutomaton automaton, GrammarAutomaton.State state)
    {
        var mask = new ulong[words];
        var path = new GrammarAutomaton.State[deepest + 1];
        path[0] = state;
        for (var node = 0; node < values.Count;)
        {
            var depth = depths[node];
            if (automaton.Step(path[depth], values[node]) is not { } next)
            {
                node = ends[node];
                continue;
            }

            path[depth + 1] = next;
            if (tokens[node] is >= 0 and var id)
            {
                mask[id >> 6] |= 1UL << (id & 63);
            }

            node++;
        }

        return mask;
    }

    private void Close(List<int> open, int depth)
    {
        foreach (var node in open[depth..])
        {
            ends[node] = values.Count;
        }

        open.RemoveRange(depth, open.Count - depth);
    }
}
