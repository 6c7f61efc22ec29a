namespace GlmTune.Constraints;

/// <summary>A repetition of grammar rules as a state machine: it decides how often and in which order rules may follow
/// each other. States are integers, starting at 0.</summary>
/// <remarks>Only states that some text reaches are ever evaluated, so a machine may have any number of them. Immutable
/// apart from caches; used under the automaton's lock.</remarks>
internal abstract class Repetition
{
    /// <summary>Whether the repetition may end in a state.</summary>
    public abstract bool MayEnd(long state);

    /// <summary>What may come next: for each possible round its rule, and the following state, at least 0.</summary>
    public abstract void AddWays(long state, List<(int Rule, long Next)> ways);
}

/// <summary>One rule repeated a number of times.</summary>
internal sealed class CountedRepetition(int rule, int least, int most) : Repetition
{
    public override bool MayEnd(long state) => state >= least;

    public override void AddWays(long state, List<(int Rule, long Next)> ways)
    {
        if (state < most)
        {
            // Beyond the minimum, rounds are counted only if there is a maximum.
            ways.Add((rule, most == ByteGrammar.Unbounded ? Math.Min(state + 1, least) : state + 1));
        }
    }
}

/// <summary>Each of several rules at most once, in any order; a state has one bit per rule used.</summary>
/// <param name="first">The rule of each value in first position.</param>
/// <param name="later">The rule of each value after another value.</param>
/// <param name="least">Minimum number of values.</param>
/// <param name="most">Maximum number of values.</param>
internal sealed class DistinctValues(int[] first, int[] later, int least, int most) : Repetition
{
    /// <summary>Number of bits in a state.</summary>
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
