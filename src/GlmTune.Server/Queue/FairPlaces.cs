namespace GlmTune.Server;

/// <summary>So many places, which who comes takes, or waits for; clients that wait take turns, whoever came
/// first.</summary>
/// <remarks>Who needs several places enters when all of them are free, and is not overtaken by its neighbours
/// meanwhile. Thread-safe.</remarks>
internal sealed class FairPlaces
{
    private readonly Lock gate;
    private readonly int places;
    private readonly Dictionary<string, LinkedList<Waiter>> waiting = [];
    private readonly LinkedList<string> turns = []; // Clients that wait, whose turn it is first.
    private Func<Exception>? closed;

    /// <param name="places">How many.</param>
    /// <param name="gate">Held while anything changes.</param>
    public FairPlaces(int places, Lock gate) => (this.places, this.gate, Free) = (places, gate, places);

    /// <summary>Places that nobody has.</summary>
    public int Free { get; private set; }

    /// <summary>Places that somebody has.</summary>
    public int Taken => places - Free;

    /// <summary>Waits for places; disposing what it returns gives them back.</summary>
    /// <param name="client">Who asks.</param>
    /// <param name="count">How many places; at most as many as there are.</param>
    /// <param name="entered">Called, under the gate, in the moment in which the places are taken.</param>
    /// <param name="cancellation">Ends the wait.</param>
    public async Task<IDisposable> EnterAsync(string client, int count, Action? entered, CancellationToken cancellation)
    {
        Waiter waiter;
        lock (gate)
        {
            if (closed is not null)
            {
                throw closed();
            }

            if (turns.Count == 0 && Free >= count)
            {
                return Take(count, entered);
            }

            if (!waiting.TryGetValue(client, out var line))
            {
                waiting.Add(client, line = []);
                turns.AddLast(client);
            }

            waiter = new Waiter(client, count, entered);
            line.AddLast(waiter);
        }

        await using (cancellation.Register(() => Leave(waiter, new OperationCanceledException(cancellation))))
        {
            return await waiter.Entered.Task;
        }
    }

    /// <summary>Turns away who waits and who comes; who has a place keeps it.</summary>
    /// <param name="reason">What they are told.</param>
    public void Close(Func<Exception> reason)
    {
        List<Waiter> left;
        lock (gate)
        {
            closed = reason;
            left = [.. waiting.Values.SelectMany(line => line)];
        }

        foreach (var waiter in left)
        {
            Leave(waiter, reason());
        }
    }

    private Place Take(int count, Action? entered)
    {
        Free -= count;
        entered?.Invoke();
        return new Place(this, count);
    }

    private void Leave(Waiter waiter, Exception reason)
    {
        lock (gate)
        {
            if (!waiting.TryGetValue(waiter.Client, out var line) || !line.Remove(waiter))
            {
                return; // It has entered.
            }

            DropIfEmpty(waiter.Client, line);
            LetIn();
        }

        waiter.Entered.TrySetException(reason);
    }

    private void GiveBack(int count)
    {
        lock (gate)
        {
            Free += count;
            LetIn();
        }
    }

    private void LetIn()
    {
        while (
            turns.First is { Value: var client }
            && waiting[client] is var line
            && line.First!.Value is var next
            && next.Count <= Free
        )
        {
            line.RemoveFirst();
            turns.RemoveFirst();
            turns.AddLast(client);
            DropIfEmpty(client, line);
            next.Entered.SetResult(Take(next.Count, next.OnEntered));
        }
    }

    private void DropIfEmpty(string client, LinkedList<Waiter> line)
    {
        if (line.Count == 0)
        {
            waiting.Remove(client);
            turns.Remove(client);
        }
    }

    private sealed class Waiter(string client, int count, Action? entered)
    {
        public string Client => client;

        public int Count => count;

        public Action? OnEntered => entered;

        public TaskCompletionSource<IDisposable> Entered { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Place(FairPlaces places, int count) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) == 0)
            {
                places.GiveBack(count);
            }
        }
    }
}
