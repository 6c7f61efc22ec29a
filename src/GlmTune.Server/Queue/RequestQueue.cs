namespace GlmTune.Server;

/// <summary>Lets as many answers run as the batch has places; others wait, and clients take turns.</summary>
/// <remarks>
/// A client is a key, or an address where there are no keys, so that one with many requests doesn't hold up the others. A request with several
/// answers enters when all of them have a place. Thread-safe.
/// </remarks>
internal sealed class RequestQueue
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, LinkedList<Waiter>> waiting = [];
    private readonly LinkedList<string> turns = [];   // Clients that wait, whose turn it is first.
    private readonly ServerLimits limits;
    private readonly int places;
    private int free;
    private int waitingCount;
    private bool closed;

    /// <param name="places">Answers that run at the same time, at most.</param>
    /// <param name="limits">How many requests may wait.</param>
    public RequestQueue(int places, ServerLimits limits) => (this.places, this.limits, free) = (places, limits, places);

    /// <summary>Answers that run.</summary>
    public int Running => places - free;

    /// <summary>Requests that wait.</summary>
    public int Waiting => waitingCount;

    /// <summary>Waits for places; disposing what it returns gives them back.</summary>
    /// <param name="client">Who asks.</param>
    /// <param name="answers">How many answers.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <exception cref="ApiException">429: too many wait. 503: the server stops.</exception>
    public async Task<IDisposable> EnterAsync(string client, int answers, CancellationToken cancellation)
    {
        answers = Math.Min(answers, places);
        Waiter waiter;
        lock (gate)
        {
            if (closed)
            {
                throw Stopping();
            }

            if (waitingCount == 0 && free >= answers)
            {
                free -= answers;
                return new Place(this, answers);
            }

            var line = waiting.GetValueOrDefault(client);
            if (waitingCount >= limits.Waiting || line?.Count >= limits.WaitingOfOneClient)
            {
                throw new ApiException(
                    StatusCodes.Status429TooManyRequests,
                    $"{(waitingCount >= limits.Waiting ? waitingCount : line!.Count)} requests{(waitingCount >= limits.Waiting ? "" : " of yours")} wait already; try again later.",
                    code: "rate_limit_exceeded")
                {
                    RetryAfterSeconds = Math.Clamp(waitingCount / places, 1, 60),
                };
            }

            if (line is null)
            {
                waiting.Add(client, line = []);
                turns.AddLast(client);
            }

            waiter = new Waiter(client, answers);
            line.AddLast(waiter);
            waitingCount++;
        }

        await using (cancellation.Register(() => Leave(waiter, new OperationCanceledException(cancellation))))
        {
            return await waiter.Entered.Task;
        }
    }

    /// <summary>Turns away who waits and who comes; answers that run go on.</summary>
    public void Close()
    {
        List<Waiter> left;
        lock (gate)
        {
            closed = true;
            left = [.. waiting.Values.SelectMany(line => line)];
        }

        foreach (var waiter in left)
        {
            Leave(waiter, Stopping());
        }
    }

    private static ApiException Stopping() =>
        new(StatusCodes.Status503ServiceUnavailable, "The server stops; try again later.", code: "server_stopping") { RetryAfterSeconds = 10 };

    private void Leave(Waiter waiter, Exception reason)
    {
        lock (gate)
        {
            if (!waiting.TryGetValue(waiter.Client, out var line) || !line.Remove(waiter))
            {
                return;   // It has entered.
            }

            waitingCount--;
            DropIfEmpty(waiter.Client, line);
            LetIn();
        }

        waiter.Entered.TrySetException(reason);
    }

    private void Leave(int answers)
    {
        lock (gate)
        {
            free += answers;
            LetIn();
        }
    }

    private void LetIn()
    {
        while (turns.First is { Value: var client } && waiting[client] is var line && line.First!.Value is var next && next.Answers <= free)
        {
            free -= next.Answers;
            waitingCount--;
            line.RemoveFirst();
            turns.RemoveFirst();
            turns.AddLast(client);
            DropIfEmpty(client, line);
            next.Entered.SetResult(new Place(this, next.Answers));
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

    private sealed class Waiter(string client, int answers)
    {
        public string Client => client;

        public int Answers => answers;

        public TaskCompletionSource<IDisposable> Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Place(RequestQueue queue, int answers) : IDisposable
    {
        private int left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref left, 1) == 0)
            {
                queue.Leave(answers);
            }
        }
    }
}
