namespace GlmTune.Collectives;

/// <summary>A collective that has been started; its tensors belong to it until <see cref="Wait"/> returns.</summary>
/// <remarks>
/// Between the call and <see cref="Wait"/> the caller neither writes to the tensors given in nor reads those written
/// to; it may dispose its own references to them. Each pending call must be waited for once, on the thread that started
/// it or any other; waiting again does nothing. </remarks>
public abstract class Pending
{
    /// <summary>A call with nothing left to do.</summary>
    public static Pending Finished { get; } = new NothingPending();

    /// <summary>Returns when the results may be used and the inputs overwritten.</summary>
    /// <remarks>On the CPU that is when the data has arrived. On a GPU the host goes on at once and the current stream
    /// waits.</remarks>
    /// <exception cref="LostRankException">
    /// The call was not finished in time, or another rank has failed (thread ranks; process ranks end the process
    /// instead). </exception>
    public abstract void Wait();

    private sealed class NothingPending : Pending
    {
        public override void Wait() { }
    }
}
