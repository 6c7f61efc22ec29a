using System.Collections.Concurrent;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Work captured once and replayed with a single call, so that its hundreds of launches cost no CPU
/// time.</summary>
/// <remarks>The work must make the same launches on the same memory each time: inputs are long-lived tensors that are
/// filled before a replay, outputs come from the arena, and it must neither wait for the GPU nor draw random numbers.
/// Source: CUDA driver API, "Stream management" and "Graph management".</remarks>
internal sealed unsafe class CudaGraph : IDisposable
{
    private const int Relaxed = 2;

    // One per GPU, never freed: libtorch keeps library workspaces of tens of MB per stream, and graphs use them.
    private static readonly ConcurrentDictionary<int, Lazy<nint>> Streams = new();

    [ThreadStatic]
    private static bool capturing;

    [ThreadStatic]
    private static bool preparing;

    private readonly Device device;
    private nint executable;

    private CudaGraph(Device device, nint executable)
    {
        this.device = device;
        this.executable = executable;
    }

    /// <summary>Runs <paramref name="work"/> once normally (to compile kernels and initialize libraries), then captures
    /// it.</summary>
    /// <param name="device">The GPU.</param>
    /// <param name="arena">Memory for the outputs of the work's kernels; opened at its start for both runs.</param>
    /// <param name="work">Called twice. Tensors that it creates may be disposed inside or kept; they are in the
    /// arena.</param>
    /// <exception cref="CudaException">Something in the work cannot be captured.</exception>
    public static CudaGraph RunAndCapture(Device device, TensorArena arena, Action work)
    {
        var index = Math.Max(0, device.index);
        cuda.synchronize(device);
        CudaContext.Ensure(device);
        var stream = Streams.GetOrAdd(index, _ => new(CudaStream.Create)).Value;
        using (CudaStream.Use(stream, index))
        {
            void InArena()
            {
                using (arena.Use())
                {
                    work();
                }
            }

            InArena();
            CudaStream.Synchronize(stream);
            return Capture(device, stream, InArena);
        }
    }

    /// <summary>Whether this thread is capturing: what it queues does not run, and it must not wait for the
    /// GPU.</summary>
    internal static bool IsCapturing
    {
        get => capturing;
        private set => capturing = value;
    }

    /// <summary>Whether this thread's work is captured, or runs as it will be captured: memory that it takes from no
    /// arena must be its own for good.</summary>
    internal static bool NeedsFixedMemory => capturing || preparing || TensorArena.Open is not null;

    /// <summary>Runs <paramref name="work"/> as it will be captured.</summary>
    internal static void Prepare(Action work)
    {
        preparing = true;
        try
        {
            work();
        }
        finally
        {
            preparing = false;
        }
    }

    /// <summary>Captures what <paramref name="work"/> queues on <paramref name="stream"/>, the current one, without
    /// running it.</summary>
    /// <exception cref="CudaException">Something in the work cannot be captured.</exception>
    internal static CudaGraph Capture(Device device, nint stream, Action work)
    {
        nint graph;
        CudaDriver.Check(CudaDriver.StreamBeginCapture(stream, Relaxed), "begin capture");
        IsCapturing = true;
        try
        {
            work();
        }
        catch
        {
            if (CudaDriver.StreamEndCapture(stream, &graph) == 0 && graph != 0)
            {
                _ = CudaDriver.GraphDestroy(graph);
            }

            throw;
        }
        finally
        {
            IsCapturing = false;
        }

        CudaDriver.Check(CudaDriver.StreamEndCapture(stream, &graph), "capture the work");
        nint executable;
        var code = CudaDriver.GraphInstantiate(&executable, graph, 0);
        _ = CudaDriver.GraphDestroy(graph);
        CudaDriver.Check(code, "instantiate the captured graph");
        return new CudaGraph(device, executable);
    }

    /// <summary>Queues the captured work on the current stream.</summary>
    public void Replay()
    {
        ObjectDisposedException.ThrowIf(executable == 0, this);
        CudaContext.Ensure(device);
        CudaDriver.Check(
            CudaDriver.GraphLaunch(executable, CudaStream.Current(Math.Max(0, device.index))),
            "replay a graph"
        );
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (executable != 0)
        {
            _ = CudaDriver.GraphExecDestroy(executable);
            executable = 0;
        }
    }
}
