using System.Diagnostics;

namespace GlmTune.Server.Board;

/// <summary>Reads files on a thread of its own, one read at a time, so that a file system that does not answer holds up
/// neither the requests of others nor the reads of other folders.</summary>
/// <remarks>A read that takes longer than its patience is given up: its caller gets a <see cref="TimeoutException"/>,
/// another thread continues with the rest, and its folder is not read until the call has come back.
/// Thread-safe.</remarks>
/// <param name="patience">How long one read may take.</param>
internal sealed class BackgroundReader(TimeSpan patience)
{
    // Threads that wait for file systems that do not answer.
    private const int MaxStuck = 8;
    private const int MaxWaiting = 10_000;

    private readonly Lock sync = new();
    private readonly Queue<Job> waiting = [];
    private readonly HashSet<string> stuck = new(StringComparer.Ordinal);
    private Job? running;
    private bool hasThread;

    /// <summary>Runs a read when the earlier ones are done.</summary>
    /// <param name="folder">What is read, by path; while a read of it is stuck, further ones fail at once.</param>
    /// <param name="read">The read; may block.</param>
    /// <exception cref="TimeoutException">The file system does not answer, or too many reads wait.</exception>
    public async Task<T> ReadAsync<T>(string folder, Func<T> read)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        var job = new Job(
            folder,
            () =>
            {
                try
                {
                    done.TrySetResult(read());
                }
#pragma warning disable CA1031 // It is thrown where the read is awaited.
                catch (Exception error)
#pragma warning restore CA1031
                {
                    done.TrySetException(error);
                }
            },
            error => done.TrySetException(error)
        );
        lock (sync)
        {
            if (stuck.Contains(folder) || stuck.Count >= MaxStuck)
            {
                throw NoAnswer();
            }

            if (waiting.Count >= MaxWaiting)
            {
                throw new TimeoutException("Too many files are being read; try again later.");
            }

            waiting.Enqueue(job);
            StartIfNeeded();
        }

        while (true)
        {
            try
            {
                return await done.Task.WaitAsync(patience);
            }
            catch (TimeoutException) when (!done.Task.IsCompleted)
            {
                GiveUp(patience);
            }
        }
    }

    /// <summary>Gives up the current read if it has taken at least as long.</summary>
    internal void GiveUp(TimeSpan atLeast)
    {
        List<Job> failed = [];
        lock (sync)
        {
            if (running is not { } job || Stopwatch.GetElapsedTime(job.Started) < atLeast)
            {
                return;
            }

            stuck.Add(job.Folder);
            (running, hasThread) = (null, false);
            failed.Add(job);
            for (var count = waiting.Count; count > 0; count--)
            {
                var next = waiting.Dequeue();
                (next.Folder == job.Folder ? failed.Add : (Action<Job>)waiting.Enqueue)(next);
            }

            StartIfNeeded();
        }

        failed.ForEach(job => job.Fail(NoAnswer()));
    }

    private static TimeoutException NoAnswer() => new("The file system does not answer.");

    // Under the lock. A thread lasts as long as there is something to read.
    private void StartIfNeeded()
    {
        if (!hasThread && waiting.Count > 0)
        {
            hasThread = true;
            new Thread(Work) { IsBackground = true, Name = "glmtune reader" }.Start();
        }
    }

    private void Work()
    {
        while (true)
        {
            Job job;
            lock (sync)
            {
                if (!waiting.TryDequeue(out job!))
                {
                    hasThread = false;
                    return;
                }

                job.Started = Stopwatch.GetTimestamp();
                running = job;
            }

            job.Run();
            lock (sync)
            {
                if (running != job)
                {
                    stuck.Remove(job.Folder); // it came back after all; another thread has taken over
                    return;
                }

                running = null;
            }
        }
    }

    private sealed record Job(string Folder, Action Run, Action<Exception> Fail)
    {
        public long Started { get; set; }
    }
}
