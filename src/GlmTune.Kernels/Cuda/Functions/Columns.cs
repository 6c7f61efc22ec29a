using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The sum of the partial sums that blocks wrote.</summary>
internal static class Columns
{
    /// <summary>Adds the sum over the rows.</summary>
    /// <param name="launcher">Runs kernels.</param>
    /// <param name="partial">float32 [rows, width].</param>
    /// <param name="target">float32 [width].</param>
    /// <param name="rows">Number of partial sums.</param>
    /// <param name="width">Elements of each.</param>
    public static void Add(IKernelLauncher launcher, Tensor partial, Tensor target, int rows, int width) =>
        launcher.Launch(
            new("columns", "add_columns", ScalarType.Float32),
            Grid.Covering(width, 32),
            Threads.PerBlock,
            partial,
            target,
            rows,
            width
        );
}
