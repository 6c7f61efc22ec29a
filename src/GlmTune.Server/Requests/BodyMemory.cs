namespace GlmTune.Server;

/// <summary>Bounds the memory that bodies of requests take before the requests are counted as waiting.</summary>
/// <remarks> Bytes that have come are counted: all together, and of one client no more than half of that, so that
/// others are still heard. Large bodies become objects a few at a time, clients taking turns, until their prompts are
/// tokens. Small bodies are not held up by any of this: there are no more of them than connections. Thread-safe.
/// </remarks>
internal sealed class BodyMemory
{
    /// <summary>Up to here a body is small.</summary>
    public const int SmallBytes = 128 << 10;

    // Memory of so many bytes of large bodies is given back to the system when none is left.
    private const long WorthCollecting = 32L << 20;

    private readonly Lock gate = new();
    private readonly FairPlaces parsing;
    private readonly ServerLimits limits;
    private readonly Dictionary<string, long> heldByClient = [];
    private long held;
    private long sinceCollection;

    public BodyMemory(ServerOptions options)
    {
        limits = options.Limits;
        parsing = new FairPlaces(limits.LargeBodies, gate, TimeSpan.Zero, options.Time);
    }

    /// <summary>Bytes of large bodies that are held.</summary>
    public long Held => held;

    /// <summary>Memory for the body of a request, which holds none at first.</summary>
    /// <param name="client">Who sends it.</param>
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
            // An idle server allocates nothing, so that no collection would come by itself.
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }
    }

    /// <summary>The memory of one body; disposing it gives it back.</summary>
    internal sealed class Lease(BodyMemory memory, string client) : IDisposable
    {
        private long taken;
        private IDisposable? place;
        private bool ended;

        /// <summary>Takes memory for a buffer.</summary>
        /// <exception cref="ApiException">429: there is too much of it already.</exception>
        public void Grow(long bytes)
        {
            if (bytes > SmallBytes)
            {
                memory.Take(client, bytes - taken);
                taken = bytes;
            }
        }

        /// <summary>Waits until objects may be made of it.</summary>
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
