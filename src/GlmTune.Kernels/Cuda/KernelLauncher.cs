namespace GlmTune.Kernels.Cuda;

/// <summary>Runs kernels of the embedded sources: on a GPU, or, for tests, on the CPU.</summary>
internal interface IKernelLauncher
{
    /// <summary>Minimum number of blocks that run concurrently.</summary>
    int Multiprocessors { get; }

    /// <summary>Queues a kernel on the current stream; the tensors in its arguments must live until it has run, which
    /// the allocator ensures.</summary>
    void Launch(KernelName kernel, Grid grid, int threads, params ReadOnlySpan<KernelArgument> arguments);
}

/// <summary>Number of blocks in a launch.</summary>
internal readonly record struct Grid(long X, int Y = 1, int Z = 1)
{
    /// <summary>Number of blocks of <paramref name="size"/> needed for <paramref name="count"/> elements.</summary>
    public static Grid Covering(long count, int size) => new((count + size - 1) / size);
}
