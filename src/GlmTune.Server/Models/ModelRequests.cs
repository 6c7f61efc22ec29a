namespace GlmTune.Server;

/// <summary>The requests that use a model, so that it is not unloaded while they are answered. Thread-safe.</summary>
internal sealed class ModelRequests
{
    private readonly Lock gate = new();
    private readonly TaskCompletionSource none = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int count;
    private bool closed;

    /// <summary>Counts a request until the result is disposed; null: the model takes no more.</summary>
    public IDisposable? TryEnter()
    {
        lock (gate)
        {
            if (closed)
            {
                return null;
            }

            count++;
            return new Lease(this);
        }
    }

    /// <summary>Lets no more requests in.</summary>
    /// <returns>Completes when the last one has left.</returns>
    public Task CloseAsync()
    {
        lock (gate)
        {
            closed = true;
            if (count == 0)
            {
                none.TrySetResult();
            }
        }

        return none.Task;
    }

    private void Leave()
    {
        lock (gate)
        {
            if (--count == 0 && closed)
            {
                none.TrySetResult();
            }
        }
    }

    private sealed class Lease(ModelRequests requests) : IDisposable
    {
        private int disposed;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref disposed, 1) == 0)
            {
                requests.Leave();
            }
        }
    }
}
