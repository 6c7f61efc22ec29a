namespace GlmTune.Server;

/// <summary>A counting semaphore that is fair between clients: waiting clients take turns, and those with the fewest
/// permits come first.</summary>
/// <remarks>A request for several permits enters when all of them are free. While it waits, requests that fit may
/// overtake it, so that no permit stays idle; after a set time, it takes permits one by one as they are released, and
/// uses each immediately. Thread-safe.</remarks>
internal sealed class FairSemaphore
{
    private readonly Lock gate;
    private readonly int permits;
    private readonly TimeProvider time;
    private readonly TimeSpan patience;
    private readonly LinkedList<Waiter> waiting = []; // In order of arrival.
    private readonly Dictionary<string, int> taken = []; // By client.
    private readonly List<string> turns = []; // Clients that wait or hold permits; the one that entered last is last.
    private Func<Exception>? closed;

    /// <param name="permits">Number of permits.</param>
    /// <param name="gate">Lock held during every change.</param>
    /// <param name="patience">How long a request for several permits lets others overtake it.</param>
    /// <param name="time">The clock.</param>
    public FairSemaphore(int permits, Lock gate, TimeSpan patience, TimeProvider time) =>
        (this.permits, this.gate, this.patience, this.time, Free) = (permits, gate, patience, time, permits);

    /// <summary>Number of free permits.</summary>
    public int Free { get; private set; }

    /// <summary>Number of permits in use.</summary>
    public int Taken => permits - Free;

    /// <summary>Waits for permits.</summary>
    /// <param name="client">The client.</param>
    /// <param name="count">Number of permits, at least one; more than exist means all of them.</param>
    /// <param name="entered">Called under the lock when the permits are taken.</param>
    /// <param name="cancellation">Cancels the wait.</param>
    /// <param name="inPart">Whether any number of permits is acceptable from the start.</param>
    /// <returns>The permits; disposing one releases it. All of them, or fewer if they did not become free together in
    /// time.</returns>
    public async Task<IReadOnlyList<IDisposable>> EnterAsync(
        string client,
        int count,
        Action? entered,
        CancellationToken cancellation,
        bool inPart = false
    )
    {
        Waiter waiter;
        lock (gate)
        {
            if (closed is not null)
            {
                throw closed();
            }

            waiter = new Waiter(client, Math.Min(count, permits), entered) { InPart = inPart || count == 1 };
            waiting.AddLast(waiter);
            if (!turns.Contains(client))
            {
                turns.Add(client);
            }

            LetIn();
        }

        await using var patient = time.CreateTimer(_ => TakeInPart(waiter), null, patience, Timeout.InfiniteTimeSpan);
        await using (cancellation.Register(() => Leave(waiter, new OperationCanceledException(cancellation))))
        {
            return await waiter.Entered.Task;
        }
    }

    /// <summary>Rejects waiting and new clients; those that hold a permit keep it.</summary>
    /// <param name="reason">The exception for them.</param>
    public void Close(Func<Exception> reason)
    {
        List<Waiter> left;
        lock (gate)
        {
            closed = reason;
            left = [.. waiting];
        }

        foreach (var waiter in left)
        {
            Leave(waiter, reason());
        }
    }

    private void TakeInPart(Waiter waiter)
    {
        lock (gate)
        {
            waiter.InPart = true;
            LetIn();
        }
    }

    private void Leave(Waiter waiter, Exception reason)
    {
        lock (gate)
        {
            if (!waiting.Remove(waiter))
            {
                return; // Already entered.
            }

            ForgetIfGone(waiter.Client);
            LetIn();
        }

        waiter.Entered.TrySetException(reason);
    }

    private void GiveBack(string client)
    {
        lock (gate)
        {
            Free++;
            taken[client]--;
            ForgetIfGone(client);
            LetIn();
        }
    }

    private void LetIn()
    {
        while (Free > 0 && Next() is { } next)
        {
            var count = Math.Min(next.Count, Free);
            waiting.Remove(next);
            Free -= count;
            taken[next.Client] = taken.GetValueOrDefault(next.Client) + count;
            turns.Remove(next.Client);
            turns.Add(next.Client);
            next.OnEntered?.Invoke();
            next.Entered.SetResult([.. Enumerable.Range(0, count).Select(_ => new Permit(this, next.Client))]);
        }
    }

    // The first that may enter now: from the clients with the fewest permits, the one whose turn it is.
    private Waiter? Next() =>
        waiting
            .Where(waiter => waiter.InPart || waiter.Count <= Free)
            .MinBy(waiter => (taken.GetValueOrDefault(waiter.Client), turns.IndexOf(waiter.Client)));

    private void ForgetIfGone(string client)
    {
        if (taken.GetValueOrDefault(client) == 0 && !waiting.Any(waiter => waiter.Client == client))
        {
            taken.Remove(client);
            turns.Remove(client);
        }
    }

    private sealed class Waiter(string client, int count, Action? entered)
    {
        public string Client => client;

        public int Count => count;

        public Action? OnEntered => entered;

        /// <summary>Whether fewer permits are acceptable.</summary>
        public bool InPart { get; set; }

        public TaskCompletionSource<IReadOnlyList<IDisposable>> Entered { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Permit(FairSemaphore permits, string client) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) == 0)
            {
                permits.GiveBack(client);
            }
        }
    }
}
