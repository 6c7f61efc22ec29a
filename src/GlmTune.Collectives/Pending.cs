namespace GlmTune.Collectives;

/// <summary>A collective that has been started; it uses its tensors until <see cref="Wait"/> returns.</summary>
/// <remarks>Between the call and <see cref="Wait"/> the caller must not write to the input tensors or read the output
/// tensors; it may dispose its own references to them. Every pending call must be waited for once, on any thread;
/// waiting again does nothing.</remarks>
internal abstract class Pending
{
    /// <summary>A call that has already finished.</summary>
    public static Pending Finished { get; } = new NothingPending();

    /// <summary>Returns when the results may be used and the inputs overwritten.</summary>
    /// <remarks>On the CPU, that is when the data has arrived. On a GPU, the host continues immediately and the current
    /// stream waits.</remarks>
    /// <exception cref="LostRankException">The call did not finish in time, or another rank has failed (thread ranks;
    /// process ranks end the process instead).</exception>
    public abstract void Wait();

    private sealed class NothingPending : Pending
    {
        public override void Wait() { }
    }
}
