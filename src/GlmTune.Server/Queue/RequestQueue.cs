namespace GlmTune.Server;

/// <summary>Runs as many answers as the batch has permits; further requests wait in a queue of limited length, in which
/// clients take turns.</summary>
/// <remarks>A request counts from its arrival, before its prompt is prepared; only a few prompts are prepared at a
/// time. It takes permits only after preparation, so a long prompt blocks none: requests enter in the order in which
/// they become ready. A client is an API key, or an address if there are no keys, so that one with many requests does
/// not delay others. Each permit belongs to one answer, and is released when the answer is finished or cancelled.
/// Thread-safe.</remarks>
internal sealed class RequestQueue
{
    private readonly Lock gate = new();

    // By client: requests that arrived when no permit was free for them.
    private readonly Dictionary<string, int> queued = [];
    private readonly FairSemaphore preparing;
    private readonly FairSemaphore answering;
    private readonly ServerLimits limits;
    private readonly int permits;
    private int queuedCount;
    private int expected; // Permits that were free when the other requests arrived, and have not been taken yet.
    private int pending;
    private bool closed;

    /// <param name="permits">Maximum number of concurrent answers.</param>
    /// <param name="limits">Limits on waiting requests and concurrent preparations.</param>
    /// <param name="time">Clock for how long a request with several answers lets others overtake it; null: the
    /// system's.</param>
    public RequestQueue(int permits, ServerLimits limits, TimeProvider? time = null)
    {
        (this.permits, this.limits, time) = (permits, limits, time ?? TimeProvider.System);
        preparing = new FairSemaphore(limits.Preparing, gate, limits.PassingTime, time);
        answering = new FairSemaphore(permits, gate, limits.PassingTime, time);
    }

    /// <summary>Number of running answers.</summary>
    public int Running => answering.Taken;

    /// <summary>Number of requests in preparation.</summary>
    public int Preparing => preparing.Taken;

    /// <summary>Number of requests without a permit.</summary>
    public int Waiting => pending;

    /// <summary>Registers a request on arrival.</summary>
    /// <param name="client">The client.</param>
    /// <param name="answers">Number of answers requested.</param>
    /// <returns>The waiting request; disposing it before it has a permit ends the wait.</returns>
    /// <exception cref="ApiException">429: too many requests are waiting. 503: the server is shutting down.</exception>
    public QueuedRequest Arrive(string client, int answers)
    {
        lock (gate)
        {
            if (closed)
            {
                throw Stopping();
            }

            var wanted = Math.Min(answers, permits);
            var hasPermit = queuedCount == 0 && expected + wanted <= answering.Free;
            if (!hasPermit)
            {
                var own = queued.GetValueOrDefault(client);
                if (queuedCount >= limits.Waiting || own >= limits.WaitingOfOneClient)
                {
                    throw new ApiException(
                        StatusCodes.Status429TooManyRequests,
                        queuedCount >= limits.Waiting
                            ? $"The queue is full: {queuedCount} requests of all clients are waiting, and the server's "
                                + $"limit is {limits.Waiting}. Try again later."
                            : $"{own} of your requests are waiting, and the limit per client is "
                                + $"{limits.WaitingOfOneClient}. Try again later.",
                        code: "rate_limit_exceeded"
                    )
                    {
                        RetryAfterSeconds = Math.Clamp(queuedCount / permits, 1, 60),
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
            return new QueuedRequest(this, client, answers, hasPermit);
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

    private void Forget(string client, int answers, bool hasPermit)
    {
        pending--;
        if (hasPermit)
        {
            expected -= Math.Min(answers, permits);
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

    /// <summary>A request that has arrived and has no permit yet.</summary>
    internal sealed class QueuedRequest(RequestQueue queue, string client, int answers, bool hasPermit) : IDisposable
    {
        private bool ended;

        /// <summary>Runs the preparation when it is this client's turn.</summary>
        /// <param name="work">Long single-threaded work, such as tokenizing the prompt.</param>
        /// <param name="cancellation">Cancels the wait, but not the work.</param>
        /// <exception cref="ApiException">503: the server is shutting down.</exception>
        public async Task<T> PrepareAsync<T>(Func<T> work, CancellationToken cancellation)
        {
            var permits = await queue.preparing.EnterAsync(client, 1, null, cancellation);
            using (permits[0])
            {
                return work();
            }
        }

        /// <summary>Waits for its first permits.</summary>
        /// <param name="cancellation">Cancels the wait.</param>
        /// <exception cref="ApiException">503: the server is shutting down.</exception>
        public async Task<AnswerPermits> EnterAsync(CancellationToken cancellation) =>
            new(
                await queue.answering.EnterAsync(client, answers, Dispose, cancellation),
                answers,
                // Some of its answers are running already, so there is no point in waiting for the others to have
                // permits together.
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
                    queue.Forget(client, answers, hasPermit);
                }
            }
        }
    }
}
