namespace GlmTune.Constraints;

/// <summary>A limit on the work of building grammars. Work is counted, not timed, so the same schemas always either fit
/// or do not.</summary>
/// <remarks>May be shared by several grammars built one after another. Not thread-safe.</remarks>
/// <param name="most">Maximum number of steps; a million take up to about half a second.</param>
internal sealed class GrammarBudget(int most = GrammarBudget.OfOne)
{
    /// <summary>The default budget of one grammar.</summary>
    public const int OfOne = 5_000_000;

    private int left = most;

    /// <summary>Spends some of the budget.</summary>
    /// <exception cref="ArgumentException">The budget is exhausted.</exception>
    internal void Spend(int steps)
    {
        // Once exceeded, it stays exceeded.
        left = steps > left ? 0 : left - steps;
        if (left == 0)
        {
            throw new ArgumentException("The schema is too large.");
        }
    }
}
