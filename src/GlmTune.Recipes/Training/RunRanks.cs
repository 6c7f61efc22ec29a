using GlmTune.Collectives;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>The ranks of a run from the program's point of view: which one reports and writes, what all agree on, and
/// how an error on one reaches all.</summary>
/// <remarks>All ranks make the same calls in the same order. A single rank does not communicate.</remarks>
/// <param name="collectives">The ranks.</param>
internal sealed class RunRanks(ICollectives collectives)
{
    /// <summary>The ranks.</summary>
    public ICollectives Collectives => collectives;

    /// <summary>Number of this rank, from 0.</summary>
    public int Rank => collectives.Rank;

    /// <summary>Number of ranks.</summary>
    public int Count => collectives.WorldSize;

    /// <summary>Whether this rank reports, and writes files that exist only once.</summary>
    public bool IsFirst => Rank == 0;

    /// <summary>The current step, shown in messages about lost ranks; null before the first step.</summary>
    public long? Step { get; set; }

    /// <summary>Whether there is only one rank.</summary>
    public bool IsAlone => Count == 1;

    /// <summary>This rank's share of a list: every N-th item, so that shares are similar.</summary>
    public IReadOnlyList<T> ShareOf<T>(IReadOnlyList<T> all) =>
        IsAlone ? all : [.. all.Where((_, i) => i % Count == Rank)];

    /// <summary>Runs on every rank an action that may fail on one, and then fails on all.</summary>
    /// <exception cref="SharedFailureException">The action failed on some rank: a bad file, a full disk, a non-finite
    /// step.</exception>
    public T RunOnAllOrFail<T>(Func<T> act)
    {
        collectives.Activity.Progress();
        return collectives.RunOnAllOrFail(act, IsExpected, new CallLabel(Step));
    }

    /// <summary>Runs on every rank a function that may fail on one, and then fails on all.</summary>
    /// <exception cref="SharedFailureException">The function failed on some rank.</exception>
    public void RunOnAllOrFail(Action act) =>
        RunOnAllOrFail(() =>
        {
            act();
            return true;
        });

    /// <summary>Runs on every rank a function that may fail or be stopped on one, and then fails or stops on
    /// all.</summary>
    /// <exception cref="SharedFailureException">The function failed on some rank.</exception>
    /// <exception cref="OperationCanceledException">The function was stopped on some rank.</exception>
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

    /// <summary>Evaluates a function on rank 0 and returns its result on every rank.</summary>
    /// <exception cref="SharedFailureException">Rank 0 failed.</exception>
    public IReadOnlyList<string> FromFirst(Func<IReadOnlyList<string>> find)
    {
        var found = RunOnAllOrFail(() => IsFirst ? find() : []);
        return IsAlone ? found : collectives.GatherStrings(found, new CallLabel(Step))[0];
    }

    /// <summary>Evaluates a condition on rank 0 and returns it on every rank, for files that other ranks may see
    /// later.</summary>
    /// <exception cref="SharedFailureException">Rank 0 failed.</exception>
    public bool FirstFinds(Func<bool> find) => FromFirst(() => find() ? ["yes"] : []).Count > 0;

    /// <summary>Collects the non-empty values of all ranks on every rank.</summary>
    public IEnumerable<string[]> FromAll(string[] mine) =>
        (IsAlone ? [mine] : collectives.GatherStrings(mine, new CallLabel(Step))).Where(texts => texts.Length > 0);

    /// <summary>Whether any rank was asked to stop; the same result on all ranks.</summary>
    public bool AnyStops(CancellationToken stop)
    {
        collectives.Activity.Progress();
        return Any(stop.IsCancellationRequested);
    }

    /// <summary>Whether a condition is true on any rank; the same result on all ranks.</summary>
    public bool Any(bool value) => IsAlone ? value : collectives.Any(value, new CallLabel(Step));

    /// <summary>The maximum over all ranks.</summary>
    public int Max(int value) => IsAlone ? value : (int)collectives.Max(value, new CallLabel(Step));

    private static bool IsExpected(Exception error) =>
        error is InvalidDataException or IOException or UnauthorizedAccessException or RejectedStepException;
}
