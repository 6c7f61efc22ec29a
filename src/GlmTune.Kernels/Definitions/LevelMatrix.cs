using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A frozen weight in 4 bits with a float32 scale for each block: an element is one of sixteen levels times
/// the scale of its block.</summary>
/// <remarks>Blocks are runs of the elements in row-major order. Holds what <see cref="Nf4Matrix"/> cannot: scales that
/// are not themselves quantized, other block sizes, and other levels, such as integers.</remarks>
internal sealed class LevelMatrix : FrozenMatrix
{
    private const long ElementsAtATime = 1 << 22;

    private readonly Tensor codes;
    private readonly Tensor scales;
    private readonly Tensor pairs;
    private readonly int blockSize;

    /// <param name="rows">Number of output features.</param>
    /// <param name="columns">Number of input features.</param>
    /// <param name="codes">uint8 [⌈blocks · blockSize / 2⌉] at most: two codes in a byte; owned by this object.</param>
    /// <param name="scales">float32 [blocks]; owned by this object.</param>
    /// <param name="levels">The sixteen levels.</param>
    /// <param name="blockSize">Elements of a block, an even number.</param>
    /// <param name="highFirst">Whether the first of two codes is in the high half of its byte.</param>
    public LevelMatrix(
        long rows,
        long columns,
        Tensor codes,
        Tensor scales,
        IReadOnlyList<float> levels,
        int blockSize,
        bool highFirst
    )
        : base(rows, columns)
    {
        (this.codes, this.scales, this.blockSize) = (codes, scales, blockSize);
        var (first, second) = highFirst ? (4, 0) : (0, 4);
        pairs = tensor(
                Enumerable
                    .Range(0, 256)
                    .SelectMany(each => new[] { levels[(each >> first) & 15], levels[(each >> second) & 15] })
                    .ToArray()
            )
            .view(256, 2)
            .to(codes.device)
            .DetachFromDisposeScope();
    }

    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors => [codes, scales, pairs];

    /// <inheritdoc/>
    public override void WriteTo(Tensor target)
    {
        using var scope = NewDisposeScope();
        var wide = target.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        var (flat, levels, factors) = (target.view(-1), pairs.to_type(wide), scales.to_type(wide));
        var elements = Rows * Columns;
        // Whole blocks, except for the last.
        var step = Math.Max(1, ElementsAtATime / blockSize) * blockSize;
        for (long first = 0; first < elements; first += step)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(step, elements - first);
            var bytes = codes.narrow(0, first / 2, (count + 1) / 2).to_type(ScalarType.Int32);
            var values = levels.index_select(0, bytes).view(-1).narrow(0, 0, count);
            var blocks = (count + blockSize - 1) / blockSize;
            var factor = factors.narrow(0, first / blockSize, blocks).repeat_interleave(blockSize).narrow(0, 0, count);
            flat.narrow(0, first, count).copy_(values.mul_(factor));
        }
    }
}
