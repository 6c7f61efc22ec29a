namespace GlmTune.Data.Conversations;

/// <summary>Processes a stream on several threads, with results in the order of the stream.</summary>
internal static class OrderedWork
{
    private const int ItemsPerBatch = 256;
    private const long BytesPerBatch = 1 << 18;

    /// <summary>Maps each item. Only a few batches of items and results are in memory at a time, however long the
    /// stream is.</summary>
    /// <param name="source">The items; read on the calling thread.</param>
    /// <param name="threads">Number of items processed at a time.</param>
    /// <param name="size">Size of an item in bytes.</param>
    /// <param name="map">Processes an item; called on other threads.</param>
    /// <param name="stop">Cancels waiting.</param>
    public static IEnumerable<TResult> Map<T, TResult>(
        IEnumerable<T> source,
        int threads,
        Func<T, int> size,
        Func<T, TResult> map,
        CancellationToken stop
    )
    {
        var running = new Queue<Task<TResult[]>>();
        try
        {
            foreach (var batch in Batches(source, size))
            {
                running.Enqueue(Task.Run(() => Array.ConvertAll(batch, item => map(item)), stop));
                // The next batch is read while these run.
                if (running.Count <= threads)
                {
                    continue;
                }

                foreach (var result in Wait(running.Peek(), stop))
                {
                    yield return result;
                }

                running.Dequeue();
            }

            while (running.TryPeek(out var next))
            {
                foreach (var result in Wait(next, stop))
                {
                    yield return result;
                }

                running.Dequeue();
            }
        }
        finally
        {
            // After an error nothing goes on in the background.
            Task.WhenAll(running).ContinueWith(_ => { }, TaskScheduler.Default).Wait(CancellationToken.None);
        }
    }

    private static TResult[] Wait<TResult>(Task<TResult[]> task, CancellationToken stop)
    {
        task.WaitAsync(stop).ConfigureAwait(false).GetAwaiter().GetResult();
        return task.Result;
    }

    private static IEnumerable<T[]> Batches<T>(IEnumerable<T> source, Func<T, int> size)
    {
        var (batch, bytes) = (new List<T>(), 0L);
        foreach (var item in source)
        {
            batch.Add(item);
            bytes += size(item);
            if (batch.Count == ItemsPerBatch || bytes >= BytesPerBatch)
            {
                yield return [.. batch];
                batch.Clear();
                bytes = 0;
            }
        }

        if (batch.Count > 0)
        {
            yield return [.. batch];
        }
    }
}
