using System.Diagnostics;
using System.Runtime.ExceptionServices;

namespace GlmTune.Collectives;

/// <summary>Matches the calls of thread ranks: the n-th call of one rank belongs to the n-th call of each
/// other.</summary>
internal sealed class CallMatcher(int worldSize, TimeSpan timeout)
{
    private readonly object gate = new();
    private readonly Dictionary<long, MatchedCall> waiting = [];
    private readonly long[] calls = new long[worldSize];
    private readonly bool[] left = new bool[worldSize];
    private (int Rank, Exception Cause)? failure;
    private long failedAt;

    public int WorldSize => worldSize;

    /// <summary>Adds a rank's call to its matched; the last rank to arrive moves the data of all.</summary>
    public MatchedCall Join(int rank, CollectiveOperation operation)
    {
        MatchedCall matched;
        lock (gate)
        {
            ThrowIfFailed(rank, operation);
            var number = calls[rank]++;
            if (!waiting.TryGetValue(number, out matched!))
            {
                waiting.Add(number, matched = new MatchedCall(worldSize));
            }

            if (matched.Add(rank, operation) is { } other)
            {
                throw Failed(
                    rank,
                    new LostRankException(
                        CallComparison.Message(rank, worldSize, operation.Call, other.Rank, other.Call.ToString())
                    )
                );
            }

            if (!matched.Complete)
            {
                return matched;
            }

            waiting.Remove(number);
            matched.Moving = true;
        }

        var moved = false;
        try
        {
            matched.Perform();
            moved = true;
        }
        finally
        {
            lock (gate)
            {
                (matched.Done, matched.Moving) = (moved, false);
                Monitor.PulseAll(gate);
            }
        }

        return matched;
    }

    /// <summary>Returns when the data of <paramref name="matched"/> has been moved.</summary>
    public void Await(int rank, MatchedCall matched, CollectiveOperation operation)
    {
        lock (gate)
        {
            while (!matched.Done)
            {
                // While the last rank moves the data of all, this one must not release its tensors.
                if (!matched.Moving)
                {
                    ThrowIfFailed(rank, operation);
                }

                var absent = matched.Missing.ToArray();
                foreach (var gone in absent.Where(missing => left[missing]))
                {
                    throw Failed(
                        rank,
                        new LostRankException(
                            $"{LostRankException.Where(rank, worldSize, operation.Call)}: "
                                + $"{operation.Call.Operation} cannot finish, because rank {gone} has ended."
                        )
                    );
                }

                var remaining = timeout - Stopwatch.GetElapsedTime(operation.Started);
                if (remaining <= TimeSpan.Zero)
                {
                    throw Failed(
                        rank,
                        new LostRankException(
                            LostRankException.NotFinished(
                                rank,
                                worldSize,
                                operation.Call,
                                timeout,
                                $"Missing: {string.Join(", ", absent.Select(missing => $"rank {missing}"))}."
                            )
                        )
                    );
                }

                Monitor.Wait(gate, remaining);
            }
        }
    }

    /// <summary>Records that the rank makes no more calls.</summary>
    public void Leave(int rank)
    {
        lock (gate)
        {
            left[rank] = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Records that the rank cannot continue; the first such rank is the one reported.</summary>
    public void Fail(int rank, Exception cause)
    {
        lock (gate)
        {
            Failed(rank, cause);
        }
    }

    /// <summary>Returns when all threads have ended or, after a failure, had <c>timeout</c> to notice it.</summary>
    public void WaitForEnd(Thread[] threads)
    {
        foreach (var thread in threads)
        {
            while (!thread.Join(TimeSpan.FromMilliseconds(100)))
            {
                lock (gate)
                {
                    if (failure is not null && Stopwatch.GetElapsedTime(failedAt) > timeout)
                    {
                        break;
                    }
                }
            }
        }
    }

    /// <summary>Rethrows the exception of the first rank that failed, if any.</summary>
    public void ThrowFailure()
    {
        lock (gate)
        {
            if (failure is { } first)
            {
                ExceptionDispatchInfo.Throw(first.Cause);
            }
        }
    }

    private Exception Failed(int rank, Exception cause)
    {
        if (failure is null)
        {
            failure = (rank, cause);
            failedAt = Stopwatch.GetTimestamp();
            Monitor.PulseAll(gate);
        }

        return cause;
    }

    private void ThrowIfFailed(int rank, CollectiveOperation operation)
    {
        if (failure is { } first)
        {
            throw new LostRankException(
                $"{LostRankException.Where(rank, worldSize, operation.Call)}: {operation.Call.Operation} was "
                    + $"aborted, because rank {first.Rank} failed: {first.Cause.Message}",
                first.Cause
            );
        }
    }
}
