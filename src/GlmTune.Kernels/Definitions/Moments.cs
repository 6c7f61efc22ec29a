using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>AdamW's two moments of a flat run: numbers in float32 or bfloat16, or codes of one byte.</summary>
/// <param name="First">[n], or its signed <see cref="BlockCodes"/>.</param>
/// <param name="Second">[n], or its codes without sign.</param>
/// <param name="FirstLargest">With codes: float32 [blocks]; otherwise null.</param>
/// <param name="SecondLargest">With codes: float32 [blocks]; otherwise null.</param>
internal sealed record Moments(Tensor First, Tensor Second, Tensor? FirstLargest = null, Tensor? SecondLargest = null)
    : IDisposable
{
    /// <summary>Moments of zero.</summary>
    /// <param name="count">n.</param>
    /// <param name="type">Type of the numbers; Byte: codes.</param>
    /// <param name="device">Their device.</param>
    public static Moments Zero(long count, ScalarType type, Device device)
    {
        if (type != ScalarType.Byte)
        {
            return new Moments(zeros(count, type, device), zeros(count, type, device));
        }

        var blocks = BlockCodes.Blocks(count);
        return new Moments(
            zeros(count, type, device),
            zeros(count, type, device),
            zeros(blocks, ScalarType.Float32, device),
            zeros(blocks, ScalarType.Float32, device)
        );
    }

    /// <summary>Whether they are codes.</summary>
    public bool AreCoded => FirstLargest is not null;

    /// <summary>All tensors, in order.</summary>
    public IEnumerable<Tensor> Tensors => new[] { First, Second, FirstLargest, SecondLargest }.OfType<Tensor>();

    /// <summary>A run of elements, as views in the caller's dispose scope.</summary>
    /// <param name="from">The first element; with codes, of a block.</param>
    /// <param name="count">Number of elements.</param>
    public Moments Narrow(long from, long count)
    {
        Tensor? Blocks(Tensor? largest) => largest?.narrow(0, from / BlockCodes.BlockSize, BlockCodes.Blocks(count));
        return new Moments(
            First.narrow(0, from, count),
            Second.narrow(0, from, count),
            Blocks(FirstLargest),
            Blocks(SecondLargest)
        );
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var each in Tensors)
        {
            each.Dispose();
        }
    }
}
