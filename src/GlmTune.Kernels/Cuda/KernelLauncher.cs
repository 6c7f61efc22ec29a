namespace GlmTune.Kernels.Cuda;

/// <summary>Runs kernels of the embedded sources: on a GPU, or for tests on the CPU.</summary>
internal interface IKernelLauncher
{
    /// <summary>How many blocks truly run side by side, at least.</summary>
    int Multiprocessors { get; }

    /// <summary>Queues a kernel on the current stream; its arguments' tensors must live until it has run, as the
    /// allocator ensures.</summary>
    void Launch(KernelName kernel, Grid grid, int threads, params ReadOnlySpan<KernelArgument> arguments);
}

/// <summary>Blocks of a launch.</summary>
internal readonly record struct Grid(long X, int Y = 1, int Z = 1)
{
    /// <summary>Blocks of <paramref name="size"/> that cover <paramref name="count"/>.</summary>
    public static Grid Covering(long count, int size) => new((count + size - 1) / size);
}
