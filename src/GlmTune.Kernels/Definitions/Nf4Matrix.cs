using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>A frozen weight in 4-bit NormalFloat with double quantization.</summary>
/// <remarks>The elements in row-major order are cut into blocks of 64. An element is the nearest of sixteen quantiles
/// of the normal distribution, times the largest magnitude of its block. These magnitudes, less their mean, are
/// themselves stored in 8 bits, in groups of 256 with the group's largest magnitude: 4.127 bits an element. The layout
/// is that of bitsandbytes. Source: Dettmers et al., QLoRA, arXiv:2305.14314, section 3 and appendix E; the 8-bit type:
/// Dettmers et al., arXiv:2110.02861, section 2.</remarks>
internal sealed class Nf4Matrix : FrozenMatrix
{
    /// <summary>Elements that share a scale.</summary>
    public const int BlockSize = 64;

    /// <summary>Scales that share a scale of their own.</summary>
    public const int GroupSize = 256;

    private const double Smallest = 1e-30;
    private const long BlocksAtATime = (1 << 22) / BlockSize;

    private static readonly AtenOperator Bucketize = new(
        "aten::bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor"
    );

    // Reading a scale or a pair of codes is a look-up.
    private readonly Tensor pairs;

    /// <param name="rows">Number of output features.</param>
    /// <param name="columns">Number of input features.</param>
    /// <param name="codes">As <see cref="Codes"/>; this and the other tensors are owned by this object.</param>
    /// <param name="scaleCodes">As <see cref="ScaleCodes"/>.</param>
    /// <param name="groupScales">As <see cref="GroupScales"/>.</param>
    /// <param name="mean">As <see cref="Mean"/>.</param>
    /// <param name="scaleMap">The 256 numbers of the scales' type, float32; null: <see cref="ScaleLevels"/>.</param>
    public Nf4Matrix(
        long rows,
        long columns,
        Tensor codes,
        Tensor scaleCodes,
        Tensor groupScales,
        Tensor mean,
        Tensor? scaleMap = null
    )
        : base(rows, columns)
    {
        (Codes, ScaleCodes, GroupScales, Mean) = (codes, scaleCodes, groupScales, mean);
        var device = codes.device;
        ScaleMap = scaleMap ?? tensor(ScaleLevels.ToArray()).to(device).DetachFromDisposeScope();
        pairs = tensor(
                Enumerable.Range(0, 256).SelectMany(each => new[] { Levels[each >> 4], Levels[each & 15] }).ToArray()
            )
            .view(256, 2)
            .to(device)
            .DetachFromDisposeScope();
    }

    /// <summary>The sixteen numbers of the type, ascending.</summary>
    public static IReadOnlyList<float> Levels { get; } =
    [
        -1.0f,
        -0.6961928009986877f,
        -0.5250730514526367f,
        -0.39491748809814453f,
        -0.28444138169288635f,
        -0.18477343022823334f,
        -0.09105003625154495f,
        0.0f,
        0.07958029955625534f,
        0.16093020141124725f,
        0.24611230194568634f,
        0.33791524171829224f,
        0.44070982933044434f,
        0.5626170039176941f,
        0.7229568362236023f,
        1.0f,
    ];

    /// <summary>The 256 numbers of the 8-bit type of the scales, ascending: zero, one, and in each decade from 10⁻⁶ on
    /// the centres of twice as many equal steps, of both signs.</summary>
    public static IReadOnlyList<float> ScaleLevels { get; } =
    [
        .. Enumerable
            .Range(0, 7)
            .SelectMany(decade =>
                Enumerable
                    .Range(0, 1 << decade)
                    .Select(step => (0.1 + (0.9 * (step + 0.5) / (1 << decade))) * Math.Pow(10, decade - 6))
            )
            .SelectMany(level => new[] { level, -level })
            .Append(0)
            .Append(1)
            .Order()
            .Select(level => (float)level),
    ];

    /// <summary>Codes of the elements, uint8 [blocks · 32]: two in a byte, the first in the high half. The last block
    /// is filled up.</summary>
    public Tensor Codes { get; }

    /// <summary>Codes of the blocks' scales, uint8 [blocks].</summary>
    public Tensor ScaleCodes { get; }

    /// <summary>Scales of groups of scales, float32 [⌈blocks / 256⌉].</summary>
    public Tensor GroupScales { get; }

    /// <summary>The mean of the scales, float32 [1], which was subtracted before they were quantized.</summary>
    public Tensor Mean { get; }

    /// <summary>The numbers of the scales' type on the device.</summary>
    internal Tensor ScaleMap { get; }

    /// <inheritdoc/>
    internal override IReadOnlyList<Tensor> Tensors => [Codes, ScaleCodes, GroupScales, Mean, ScaleMap, pairs];

    private long Blocks => ScaleCodes.numel();

    /// <summary>Quantizes a weight; as <see cref="FrozenMatrix.Quantize"/>.</summary>
    public static Nf4Matrix Quantize(Tensor weight)
    {
        using var scope = NewDisposeScope();
        var flat = weight.contiguous().view(-1);
        var blocks = (flat.numel() + BlockSize - 1) / BlockSize;
        var device = weight.device;
        var levels = Between(Levels, device);
        var codes = empty([blocks * BlockSize / 2], ScalarType.Byte, device);
        var scales = empty([blocks], ScalarType.Float32, device);
        for (long block = 0; block < blocks; block += BlocksAtATime)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(BlocksAtATime, blocks - block);
            var values = Filled(flat, block * BlockSize, count * BlockSize).view(-1, BlockSize);
            var largest = values.abs().amax([1], keepdim: true);
            scales.narrow(0, block, count).copy_(largest.view(-1));
            var nearest = Nearest(values / largest.ClampMin(Smallest), levels).view(-1, 2);
            codes
                .narrow(0, block * BlockSize / 2, count * BlockSize / 2)
                .copy_(nearest.select(1, 0).Multiply(16).AddInPlace(nearest.select(1, 1)));
        }

        var mean = scales.mean().view(1);
        var groups = (blocks + GroupSize - 1) / GroupSize;
        var centred = Filled(scales - mean, 0, groups * GroupSize).view(-1, GroupSize);
        var groupScales = centred.abs().amax([1], keepdim: true);
        var scaleCodes = Nearest(centred / groupScales.ClampMin(Smallest), Between(ScaleLevels, device))
            .view(-1)
            .narrow(0, 0, blocks)
            .to_type(ScalarType.Byte);
        return new Nf4Matrix(
            weight.shape[0],
            weight.shape[1],
            codes.DetachFromDisposeScope(),
            scaleCodes.DetachFromDisposeScope(),
            groupScales.view(-1).contiguous().DetachFromDisposeScope(),
            mean.DetachFromDisposeScope()
        );
    }

    /// <inheritdoc/>
    public override void WriteTo(Tensor target)
    {
        using var scope = NewDisposeScope();
        var wide = target.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        var scales = Scales().to_type(wide);
        var (flat, levels) = (target.view(-1), pairs.to_type(wide));
        for (long block = 0; block < Blocks; block += BlocksAtATime)
        {
            using var part = NewDisposeScope();
            var count = Math.Min(BlocksAtATime, Blocks - block);
            var bytes = Codes.narrow(0, block * BlockSize / 2, count * BlockSize / 2).to_type(ScalarType.Int32);
            var values = levels
                .index_select(0, bytes)
                .view(-1, BlockSize)
                .mul_(scales.narrow(0, block, count).unsqueeze(1))
                .view(-1);
            var first = block * BlockSize;
            var length = Math.Min(values.numel(), flat.numel() - first);
            flat.narrow(0, first, length).copy_(values.narrow(0, 0, length));
        }
    }

    // The blocks' scales, float32 [blocks].
    private Tensor Scales()
    {
        using var scope = NewDisposeScope();
        var centred = ScaleMap.index_select(0, ScaleCodes.to_type(ScalarType.Int32));
        return (Filled(centred, 0, GroupScales.numel() * GroupSize).view(-1, GroupSize) * GroupScales.unsqueeze(1))
            .view(-1)
            .narrow(0, 0, Blocks)
            .Add(Mean)
            .MoveToOuterDisposeScope();
    }

    // A run of elements in float32, with zeros after the last.
    private static Tensor Filled(Tensor flat, long first, long count)
    {
        var there = Math.Min(count, flat.numel() - first);
        var values = flat.narrow(0, first, there).to_type(ScalarType.Float32);
        return there == count ? values : cat([values, zeros([count - there], ScalarType.Float32, flat.device)]);
    }

    // Index of the nearest level; of two that are equally near, the lower one.
    private static Tensor Nearest(Tensor values, Tensor boundaries) => Bucketize.Call(values, boundaries, true, false);

    private static Tensor Between(IReadOnlyList<float> levels, Device device) =>
        tensor(levels.Zip(levels.Skip(1), (low, high) => (low + high) / 2).ToArray()).to(device);
}
