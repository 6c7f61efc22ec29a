namespace GlmTune.Cli;

/// <summary>While an answer is generated in a conversation, the first Ctrl-C stops the answer; the next one ends the
/// program as usual.</summary>
internal sealed class AnswerInterrupt : IDisposable
{
    private static AnswerInterrupt? current;
    private readonly CancellationTokenSource source;

    /// <param name="stop">Stops the answer with the program.</param>
    public AnswerInterrupt(CancellationToken stop)
    {
        source = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Volatile.Write(ref current, this);
    }

    /// <summary>Cancelled when the answer is to stop.</summary>
    public CancellationToken Token => source.Token;

    /// <summary>Stops the answer that is being generated; false if there is none, or if it is stopping
    /// already.</summary>
    public static bool TryStop()
    {
        var running = Interlocked.Exchange(ref current, null);
        running?.source.Cancel();
        return running is not null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // A signal that has taken it may still be cancelling, so the source is left to the collector then.
        if (Interlocked.CompareExchange(ref current, null, this) == this)
        {
            source.Dispose();
        }
    }
}
