namespace GlmTune.Server;

/// <summary>A counting semaphore that is fair between clients: waiting clients take turns, and those with the fewest
/// slots come first.</summary>
/// <remarks>A request for several slots enters when all of them are free. While it waits, requests that fit may
/// overtake it, so that no slot stays idle; after a set time, it takes slots one by one as they are released, and uses
/// each immediately. Thread-safe.</remarks>
internal sealed class FairPlaces
{
    private readonly Lock gate;
    private readonly int places;
    private readonly TimeProvider time;
    private readonly TimeSpan patience;
    private readonly LinkedList<Waiter> waiting = []; // In order of arrival.
    private readonly Dictionary<string, int> taken = []; // By client.
    private readonly List<string> turns = []; // Clients that wait or hold slots; the one that entered last is last.
    private Func<Exception>? closed;

    /// <param name="places">Number of slots.</param>
    /// <param name="gate">Lock held during every change.</param>
    /// <param name="patience">How long a request for several slots lets others overtake it.</param>
    /// <param name="time">The clock.</param>
    public FairPlaces(int places, Lock gate, TimeSpan patience, TimeProvider time) =>
        (this.places, this.gate, this.patience, this.time, Free) = (places, gate, patience, time, places);

    /// <summary>Number of free slots.</summary>
    public int Free { get; private set; }

    /// <summary>Number of slots in use.</summary>
    public int Taken => places - Free;

    /// <summary>Waits for slots.</summary>
    /// <param name="client">The client.</param>
    /// <param name="count">Number of slots, at least one; more than exist means all of them.</param>
    /// <param name="entered">Called under the lock when the slots are taken.</param>
    /// <param name="cancellation">Cancels the wait.</param>
    /// <param name="inPart">Whether any number of slots is acceptable from the start.</param>
    /// <returns>The slots; disposing one releases it. All of them, or fewer if they did not become free together in
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

            waiter = new Waiter(client, Math.Min(count, places), entered) { InPart = inPart || count == 1 };
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

    /// <summary>Rejects waiting and new clients; those that hold a slot keep it.</summary>
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
            next.Entered.SetResult([.. Enumerable.Range(0, count).Select(_ => new Place(this, next.Client))]);
        }
    }

    // The first that may enter now: from the clients with the fewest slots, the one whose turn it is.
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

        /// <summary>Whether fewer slots are acceptable.</summary>
        public bool InPart { get; set; }

        public TaskCompletionSource<IReadOnlyList<IDisposable>> Entered { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Place(FairPlaces places, string client) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) == 0)
            {
                places.GiveBack(client);
            }
        }
    }
}
