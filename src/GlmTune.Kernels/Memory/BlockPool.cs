namespace GlmTune.Kernels.Memory;

/// <summary>Blocks that are busy for a while after they are given back, such as memory that a GPU still copies from.
/// Thread-safe.</summary>
/// <remarks>The pool belongs to all threads, so that threads that end leave nothing behind. It grows while every block
/// is busy, up to a limit; beyond it, the block that was given back first is waited for.</remarks>
/// <typeparam name="T">A block.</typeparam>
/// <param name="create">Creates a block.</param>
/// <param name="isIdle">Whether a block can be used without waiting.</param>
/// <param name="wait">Waits until it can be used.</param>
/// <param name="limit">Blocks that the pool grows to; more are made only where all are in use at the same
/// time.</param>
internal sealed class BlockPool<T>(Func<T> create, Func<T, bool> isIdle, Action<T> wait, int limit)
{
    private readonly Lock gate = new();
    private readonly List<T> returned = []; // The one that was given back first is first.
    private int count;

    /// <summary>Blocks so far.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return count;
            }
        }
    }

    /// <summary>A block that is not busy, for the caller alone until <see cref="Return"/>.</summary>
    public T Rent()
    {
        T block;
        lock (gate)
        {
            var idle = returned.FindIndex(each => isIdle(each));
            if (idle < 0 && (count < limit || returned.Count == 0))
            {
                block = create();
                count++;
                return block;
            }

            block = returned[Math.Max(0, idle)];
            returned.RemoveAt(Math.Max(0, idle));
            if (idle >= 0)
            {
                return block;
            }
        }

        wait(block);
        return block;
    }

    /// <summary>Gives a block back, which may be busy.</summary>
    public void Return(T block)
    {
        lock (gate)
        {
            returned.Add(block);
        }
    }
}
