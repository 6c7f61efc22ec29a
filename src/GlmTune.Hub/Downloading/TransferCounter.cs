namespace GlmTune.Hub.Downloading;

/// <summary>Sums the bytes of all files of a download. Thread-safe.</summary>
/// <param name="progressed">Called with the progress after each change; null: nobody.</param>
internal sealed class TransferCounter(Action<PullProgress>? progressed)
{
    private readonly Lock gate = new();
    private long done;
    private long total;
    private long received;

    /// <summary>Bytes that were received, including those that were thrown away.</summary>
    public long Received => Interlocked.Read(ref received);

    /// <summary>More files are known.</summary>
    public void Expect(long bytes)
    {
        lock (gate)
        {
            total += bytes;
        }
    }

    /// <summary>Bytes are here without having been received now; negative if bytes were thrown away.</summary>
    public void Keep(long bytes) => Add(bytes, 0);

    /// <summary>Bytes were received.</summary>
    public void Receive(long bytes) => Add(bytes, bytes);

    private void Add(long bytes, long now)
    {
        lock (gate)
        {
            done += bytes;
            received += now;
            progressed?.Invoke(new PullProgress(done, total, received));
        }
    }
}
