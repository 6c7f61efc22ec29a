using System.Collections.Concurrent;
using GlmTune.Kernels.Memory;

namespace GlmTune.Kernels.Cuda;

/// <summary>What a library can do, found by trying each case once.</summary>
/// <remarks>A refusal holds for its case alone. A lack of memory says nothing about the case: it is tried again, but
/// not at every call, since a trial takes longer than what it would save. Thread-safe.</remarks>
/// <typeparam name="T">What tells cases apart.</typeparam>
internal sealed class CaseProbe<T>
    where T : notnull
{
    /// <summary>Calls that pass before a case that failed because memory ran out is tried again.</summary>
    public const int CallsBeforeRetry = 1000;

    private readonly ConcurrentDictionary<T, Answer> answers = new();

    /// <summary>Whether the library can do a case.</summary>
    /// <param name="which">The case.</param>
    /// <param name="attempt">Tries it, on a small input; throws where it fails.</param>
    /// <param name="refused">Whether an error means that the library refuses; others are thrown on.</param>
    /// <param name="mayTry">Whether it may be tried now; else an unknown case counts as refused for this call, and no
    /// retry is made.</param>
    /// <param name="reason">Why not; null: it can, or was not tried.</param>
    public bool CanDo(T which, Action attempt, Func<Exception, bool> refused, bool mayTry, out string? reason)
    {
        var known = answers.TryGetValue(which, out var answer);
        if (mayTry && (!known || answer!.IsDue()))
        {
            answers[which] = answer = Try(attempt, refused);
        }

        reason = answer?.Reason;
        return answer is { Reason: null };
    }

    private static Answer Try(Action attempt, Func<Exception, bool> refused)
    {
        try
        {
            attempt();
            return new Answer(null, CanChange: false);
        }
        catch (Exception error) when (AllocationFailure.Find(error) is not null)
        {
            return new Answer("could not be tried because memory ran out", CanChange: true);
        }
        catch (Exception error) when (refused(error))
        {
            return new Answer($"was refused: {error.Message.Split('\n')[0].TrimEnd('.', ' ')}", CanChange: false);
        }
    }

    private sealed record Answer(string? Reason, bool CanChange)
    {
        private int calls;

        public bool IsDue() => CanChange && Interlocked.Increment(ref calls) >= CallsBeforeRetry;
    }
}
