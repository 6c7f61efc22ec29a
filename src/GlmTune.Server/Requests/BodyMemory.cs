namespace GlmTune.Server;

/// <summary>Limits the memory of request bodies before the requests are counted as waiting.</summary>
/// <remarks>Bytes are counted as they arrive: in total, and per client, which may use at most half of the total so that
/// others are still served. Large bodies are parsed a few at a time, with clients taking turns, until their prompts are
/// tokenized. Small bodies are exempt: there are no more of them than connections. Thread-safe.</remarks>
internal sealed class BodyMemory
{
    /// <summary>Size up to which a body is small, in bytes.</summary>
    public const int SmallBytes = 128 << 10;

    // After this many bytes of large bodies, memory is returned to the system when no large body is left.
    private const long WorthCollecting = 32L << 20;

    private readonly Lock gate = new();
    private readonly FairSemaphore parsing;
    private readonly ServerLimits limits;
    private readonly Dictionary<string, long> heldByClient = [];
    private long held;
    private long sinceCollection;

    public BodyMemory(ServerOptions options)
    {
        limits = options.Limits;
        parsing = new FairSemaphore(limits.LargeBodies, gate, TimeSpan.Zero, options.Time);
    }

    /// <summary>Bytes of large bodies held.</summary>
    public long Held => held;

    /// <summary>Memory for the body of a request; initially empty.</summary>
    /// <param name="client">The client that sends it.</param>
    public Lease Open(string client) => new(this, client);

    private void Take(string client, long bytes)
    {
        lock (gate)
        {
            var own = heldByClient.GetValueOrDefault(client);
            if (held + bytes > limits.HeldBodyBytes || own + bytes > limits.HeldBodyBytes / 2)
            {
                throw new ApiException(
                    StatusCodes.Status429TooManyRequests,
                    "Too many large request bodies of "
                        + $"{(own + bytes > limits.HeldBodyBytes / 2 ? "yours" : "others")} are being read; try "
                        + "again later.",
                    code: "rate_limit_exceeded"
                )
                {
                    RetryAfterSeconds = 1,
                };
            }

            held += bytes;
            heldByClient[client] = own + bytes;
        }
    }

    private void GiveBack(string client, long bytes)
    {
        bool collect;
        lock (gate)
        {
            held -= bytes;
            sinceCollection += bytes;
            if ((heldByClient[client] -= bytes) == 0)
            {
                heldByClient.Remove(client);
            }

            collect = held == 0 && sinceCollection >= WorthCollecting;
            sinceCollection = collect ? 0 : sinceCollection;
        }

        if (collect)
        {
            // An idle server allocates nothing, so no garbage collection would happen by itself.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }
    }

    /// <summary>The memory of one body; disposing it releases the memory.</summary>
    internal sealed class Lease(BodyMemory memory, string client) : IDisposable
    {
        private long taken;
        private IDisposable? place;
        private bool ended;

        /// <summary>Reserves memory for a buffer.</summary>
        /// <exception cref="ApiException">429: too much is held already.</exception>
        public void Grow(long bytes)
        {
            if (bytes > SmallBytes)
            {
                memory.Take(client, bytes - taken);
                taken = bytes;
            }
        }

        /// <summary>Waits until the body may be parsed.</summary>
        public async Task EnterParsingAsync(CancellationToken cancellation)
        {
            if (taken > 0)
            {
                place = (await memory.parsing.EnterAsync(client, 1, null, cancellation))[0];
            }
        }

        /// <inheritdoc/>
        public void Dispose()
        {
            if (!ended && taken > 0)
            {
                ended = true;
                place?.Dispose();
                memory.GiveBack(client, taken);
            }
        }
    }
}
