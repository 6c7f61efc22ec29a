namespace GlmTune.Constraints;

/// <summary>How often a part of a grammar comes, and what each round may be: a machine whose state after some rounds is
/// a number, 0 at first.</summary>
/// <remarks>
/// Only the states that a text leads to are ever looked at, so that a machine may have any number of them. Immutable,
/// but for what it remembers; used under the automaton's lock. </remarks>
internal abstract class Rounds
{
    /// <summary>Whether the part may end in a state.</summary>
    public abstract bool MayEnd(long state);

    /// <summary>What may come next: the rule of one round each, and the state after it, at least 0.</summary>
    public abstract void AddWays(long state, List<(int Rule, long Next)> ways);
}

/// <summary>The same rule repeated a number of times.</summary>
internal sealed class CountedRounds(int rule, int least, int most) : Rounds
{
    public override bool MayEnd(long state) => state >= least;

    public override void AddWays(long state, List<(int Rule, long Next)> ways)
    {
        if (state < most)
        {
            // Beyond the least number, rounds only count where there is a most.
            ways.Add((rule, most == ByteGrammar.Unbounded ? Math.Min(state + 1, least) : state + 1));
        }
    }
}

/// <summary>Each of some rules at most once, in any order; a state has a bit for each that came.</summary>
/// <param name="first">The rule of each value as the first one.</param>
/// <param name="later">The rule of each value after another one.</param>
/// <param name="least">How many come at least.</param>
/// <param name="most">How many come at most.</param>
internal sealed class DistinctRounds(int[] first, int[] later, int least, int most) : Rounds
{
    /// <summary>As many values as a state has bits for.</summary>
    public const int MaxValues = 62;

    public override bool MayEnd(long state) => long.PopCount(state) >= least;

    public override void AddWays(long state, List<(int Rule, long Next)> ways)
    {
        for (var i = 0; i < first.Length && long.PopCount(state) < most; i++)
        {
            if ((state >> i & 1) == 0)
            {
                ways.Add((state == 0 ? first[i] : later[i], state | 1L << i));
            }
        }
    }
}
