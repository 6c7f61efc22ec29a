using GlmTune.Collectives;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>The ranks of a run as its program sees them: who speaks and writes, what all agree on, and what becomes of
/// an error on one.</summary>
/// <remarks>All ranks make the same calls in the same order. Alone, nothing is asked of anybody.</remarks>
/// <param name="collectives">The ranks.</param>
internal sealed class RunRanks(ICollectives collectives)
{
    /// <summary>The ranks.</summary>
    public ICollectives Collectives => collectives;

    /// <summary>This rank's number.</summary>
    public int Rank => collectives.Rank;

    /// <summary>Number of ranks.</summary>
    public int Count => collectives.WorldSize;

    /// <summary>Whether this rank prints, and writes what there is one of.</summary>
    public bool IsFirst => Rank == 0;

    /// <summary>The step that is computed, which messages of lost ranks name; null before the first.</summary>
    public long? Step { get; set; }

    /// <summary>Whether there is no other rank.</summary>
    public bool IsAlone => Count == 1;

    /// <summary>This rank's share of a list: every so many-th, so that shares are alike.</summary>
    public IReadOnlyList<T> ShareOf<T>(IReadOnlyList<T> all) =>
        IsAlone ? all : [.. all.Where((_, i) => i % Count == Rank)];

    /// <summary>Does on every rank what may fail on one, and then fails on all.</summary>
    /// <exception cref="SharedFailureException">It failed on some rank: a bad file, a full disk, a step that is not
    /// finite.</exception>
    public T RunOnAllOrFail<T>(Func<T> act) => collectives.RunOnAllOrFail(act, IsExpected, new CallLabel(Step));

    /// <summary>Does on every rank what may fail on one, and then fails on all.</summary>
    /// <exception cref="SharedFailureException">It failed on some rank.</exception>
    public void RunOnAllOrFail(Action act) =>
        RunOnAllOrFail(() =>
        {
            act();
            return true;
        });

    /// <summary>Does on every rank what may fail or be stopped on one, and then fails or stops on all.</summary>
    /// <exception cref="SharedFailureException">It failed on some rank.</exception>
    /// <exception cref="OperationCanceledException">It was stopped on some rank.</exception>
    public T RunOnAllOrFail<T>(Func<T> act, CancellationToken stop)
    {
        var stopped = false;
        var result = RunOnAllOrFail(() =>
        {
            try
            {
                return act();
            }
            catch (OperationCanceledException) when (!IsAlone)
            {
                stopped = true;
                return default!;
            }
        });
        return Any(stopped) ? throw new OperationCanceledException(stop) : result;
    }

    /// <summary>What rank 0 finds, on every rank.</summary>
    /// <exception cref="SharedFailureException">Rank 0 failed.</exception>
    public IReadOnlyList<string> FromFirst(Func<IReadOnlyList<string>> find)
    {
        var found = RunOnAllOrFail(() => IsFirst ? find() : []);
        return IsAlone ? found : collectives.GatherStrings(found, new CallLabel(Step))[0];
    }

    /// <summary>Whether rank 0 finds it so, on every rank: what is on a disk, which others may see a little
    /// later.</summary>
    /// <exception cref="SharedFailureException">Rank 0 failed.</exception>
    public bool FirstFinds(Func<bool> find) => FromFirst(() => find() ? ["yes"] : []).Count > 0;

    /// <summary>What each rank has, where it has anything, on every rank.</summary>
    public IEnumerable<string[]> FromAll(string[] mine) =>
        (IsAlone ? [mine] : collectives.GatherStrings(mine, new CallLabel(Step))).Where(texts => texts.Length > 0);

    /// <summary>Whether any rank was asked to stop; the same answer on all.</summary>
    public bool AnyStops(CancellationToken stop) => Any(stop.IsCancellationRequested);

    /// <summary>Whether it is true on any rank; the same answer on all.</summary>
    public bool Any(bool value) => IsAlone ? value : collectives.Any(value, new CallLabel(Step));

    /// <summary>The largest of all ranks' numbers.</summary>
    public int Most(int value) => IsAlone ? value : (int)collectives.Max(value, new CallLabel(Step));

    private static bool IsExpected(Exception error) =>
        error is InvalidDataException or IOException or UnauthorizedAccessException or NonFiniteStepException;
}
