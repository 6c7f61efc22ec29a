using static TorchSharp.torch;

namespace GlmTune.Kernels.Memory;

/// <summary>Measures the peak memory in use on a GPU during its lifetime, by all programs together; polled on a thread
/// of its own.</summary>
/// <remarks>libtorch keeps the memory that it reserves, so the peak persists and is not missed between two
/// polls.</remarks>
internal sealed class PeakMemory : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private readonly Device device;
    private readonly CancellationTokenSource stop = new();
    private readonly Thread thread;
    private long most;

    /// <param name="device">The GPU; on the CPU nothing is measured.</param>
    public PeakMemory(Device device)
    {
        this.device = device;
        Look();
        thread = new Thread(() =>
        {
            while (!stop.Token.WaitHandle.WaitOne(Interval))
            {
                Look();
            }
        })
        {
            IsBackground = true,
            Name = "peak memory",
        };
        thread.Start();
    }

    /// <summary>Peak memory in bytes; 0 on the CPU.</summary>
    public long Bytes
    {
        get
        {
            Look();
            return Interlocked.Read(ref most);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stop.Cancel();
        thread.Join();
        stop.Dispose();
    }

    private void Look()
    {
        if (DeviceMemory.Of(device) is not { } memory)
        {
            return;
        }

        var used = memory.Total - memory.Free;
        var seen = Interlocked.Read(ref most);
        while (used > seen && Interlocked.CompareExchange(ref most, used, seen) is var now && now != seen)
        {
            seen = now;
        }
    }
}
