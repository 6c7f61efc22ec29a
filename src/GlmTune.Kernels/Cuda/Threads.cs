namespace GlmTune.Kernels.Cuda;

/// <summary>Threads of a block.</summary>
internal static class Threads
{
    /// <summary>Of kernels that run with blocks of any size.</summary>
    public const int PerBlock = 256;

    /// <summary>Whole warps for this many threads' work.</summary>
    /// <param name="wanted">Threads that have work.</param>
    /// <param name="max">The largest block that the kernel allows.</param>
    public static int For(int wanted, int max) => Math.Clamp((wanted + 31) / 32 * 32, 32, max);
}
