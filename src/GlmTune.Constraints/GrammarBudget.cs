namespace GlmTune.Constraints;

/// <summary>How much work making grammars may take: counted, not timed, so that the same schemas always fit or
/// never.</summary>
/// <remarks>May be shared by several grammars that are made one after the other. Not thread-safe.</remarks>
/// <param name="most">Steps; a million take up to about half a second.</param>
public sealed class GrammarBudget(int most = GrammarBudget.OfOne)
{
    /// <summary>What one grammar may take unless told otherwise.</summary>
    public const int OfOne = 5_000_000;

    private int left = most;

    /// <summary>Takes some of it.</summary>
    /// <exception cref="ArgumentException">There is not so much left.</exception>
    internal void Spend(int steps)
    {
        // What was too much once stays so.
        left = steps > left ? 0 : left - steps;
        if (left == 0)
        {
            throw new ArgumentException("The schema is too large.");
        }
    }
}
