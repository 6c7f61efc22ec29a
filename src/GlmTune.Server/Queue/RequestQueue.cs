namespace GlmTune.Server;

/// <summary>Lets as many answers run as the batch has places; other requests wait in a queue of limited length, and
/// clients take turns.</summary>
/// <remarks>
/// A request counts from its arrival, before its prompt is prepared, which only a few do at a time. It takes its places
/// when that is done, so that a long prompt holds none: who is ready sooner enters sooner. A client is a key, or an
/// address where there are no keys, so that one with many requests doesn't hold up the others. A place belongs to the
/// making of one answer, and is given back when that answer is made or cancelled. Thread-safe. </remarks>
internal sealed class RequestQueue
{
    private readonly Lock gate = new();

    // By client: requests that came when no place was free for them.
    private readonly Dictionary<string, int> queued = [];
    private readonly FairPlaces preparing;
    private readonly FairPlaces answering;
    private readonly ServerLimits limits;
    private readonly int places;
    private int queuedCount;
    private int expected; // Places that were free for the other requests when they came, and are still to be taken.
    private int pending;
    private bool closed;

    /// <param name="places">Answers that run at the same time, at most.</param>
    /// <param name="limits">How many requests may wait, and how many prompts are prepared at a time.</param>
    /// <param name="time">Measures how long a request with several answers lets others pass; null for the
    /// system's.</param>
    public RequestQueue(int places, ServerLimits limits, TimeProvider? time = null)
    {
        (this.places, this.limits, time) = (places, limits, time ?? TimeProvider.System);
        preparing = new FairPlaces(limits.Preparing, gate, limits.PassingTime, time);
        answering = new FairPlaces(places, gate, limits.PassingTime, time);
    }

    /// <summary>Answers that run.</summary>
    public int Running => answering.Taken;

    /// <summary>Requests whose prompt is worked on.</summary>
    public int Preparing => preparing.Taken;

    /// <summary>Requests that have come and have no place yet.</summary>
    public int Waiting => pending;

    /// <summary>Counts a request that comes.</summary>
    /// <param name="client">Who asks.</param>
    /// <param name="answers">How many answers.</param>
    /// <returns>Its way to a place; disposing it before it has one ends the wait.</returns>
    /// <exception cref="ApiException">429: too many wait. 503: the server stops.</exception>
    public Visit Arrive(string client, int answers)
    {
        lock (gate)
        {
            if (closed)
            {
                throw Stopping();
            }

            var wanted = Math.Min(answers, places);
            var hasPlace = queuedCount == 0 && expected + wanted <= answering.Free;
            if (!hasPlace)
            {
                var own = queued.GetValueOrDefault(client);
                if (queuedCount >= limits.Waiting || own >= limits.WaitingOfOneClient)
                {
                    throw new ApiException(
                        StatusCodes.Status429TooManyRequests,
                        queuedCount >= limits.Waiting
                            ? $"{queuedCount} requests are already queued; try again later."
                            : $"You already have {own} requests queued; try again later.",
                        code: "rate_limit_exceeded"
                    )
                    {
                        RetryAfterSeconds = Math.Clamp(queuedCount / places, 1, 60),
                    };
                }

                queued[client] = own + 1;
                queuedCount++;
            }
            else
            {
                expected += wanted;
            }

            pending++;
            return new Visit(this, client, answers, hasPlace);
        }
    }

    /// <summary>Rejects queued and new requests; running answers continue.</summary>
    public void Close()
    {
        lock (gate)
        {
            closed = true;
        }

        preparing.Close(Stopping);
        answering.Close(Stopping);
    }

    private static ApiException Stopping() =>
        new(
            StatusCodes.Status503ServiceUnavailable,
            "The server is shutting down; try again later.",
            code: "server_stopping"
        )
        {
            RetryAfterSeconds = 10,
        };

    private void Forget(string client, int answers, bool hasPlace)
    {
        pending--;
        if (hasPlace)
        {
            expected -= Math.Min(answers, places);
        }
        else
        {
            queuedCount--;
            if (--queued[client] == 0)
            {
                queued.Remove(client);
            }
        }
    }

    /// <summary>A request that has come and has no place yet.</summary>
    internal sealed class Visit(RequestQueue queue, string client, int answers, bool hasPlace) : IDisposable
    {
        private bool ended;

        /// <summary>Does the work that comes before the answer, when it is this client's turn to.</summary>
        /// <param name="work">Long work of one thread, such as the tokens of a prompt.</param>
        /// <param name="cancellation">Ends the wait; not the work.</param>
        /// <exception cref="ApiException">503: the server stops.</exception>
        public async Task<T> PrepareAsync<T>(Func<T> work, CancellationToken cancellation)
        {
            var places = await queue.preparing.EnterAsync(client, 1, null, cancellation);
            using (places[0])
            {
                return work();
            }
        }

        /// <summary>Waits for its first places.</summary>
        /// <param name="cancellation">Ends the wait.</param>
        /// <exception cref="ApiException">503: the server stops.</exception>
        public async Task<AnswerPlaces> EnterAsync(CancellationToken cancellation) =>
            new(
                await queue.answering.EnterAsync(client, answers, Dispose, cancellation),
                answers,
                // Some of its answers run already: nothing is won by waiting until the others have places together.
                (count, stop) => queue.answering.EnterAsync(client, count, null, stop, inPart: true)
            );

        /// <inheritdoc/>
        public void Dispose()
        {
            lock (queue.gate)
            {
                if (!ended)
                {
                    ended = true;
                    queue.Forget(client, answers, hasPlace);
                }
            }
        }
    }
}
