using System.Collections.Concurrent;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Numbers as one-byte codes: a block of 256 neighbours shares its largest magnitude, and a code is the
/// nearest of 256 values between −1 and 1 (or 0 and 1), denser towards 0.</summary>
/// <remarks>The dynamic code: 0, 1, and for each of seven powers of ten the midpoints of equal parts of [0.1, 1], twice
/// as many from one power to the next: 1 to 64 parts with either sign, or 2 to 128 without. A positive number without
/// sign never becomes 0, by whose root an update would be divided. Immutable. Source: Dettmers et al., 8-bit Optimizers
/// via Block-wise Quantization, arXiv:2110.02861, sections 2 and 4.</remarks>
internal static class BlockCodes
{
    /// <summary>Elements of a block.</summary>
    public const int BlockSize = 256;

    private const int Powers = 7;
    private static readonly ConcurrentDictionary<(DeviceType Type, int Index), Lazy<Tensor>> Tables = new();

    /// <summary>Number of blocks of so many elements.</summary>
    public static long Blocks(long count) => (count + BlockSize - 1) / BlockSize;

    /// <summary>The values of the signed codes, then of those without sign, each ascending: float32 [2, 256], the same
    /// tensor each time.</summary>
    public static Tensor Values(Device device) =>
        Tables
            .GetOrAdd(
                (device.type, device.index),
                _ =>
                    new(() =>
                        stack([tensor(Table(signed: true)), tensor(Table(signed: false))])
                            .to(device)
                            .DetachFromDisposeScope()
                    )
            )
            .Value;

    /// <summary>The numbers of codes.</summary>
    /// <param name="codes">Byte [n].</param>
    /// <param name="largest">Largest magnitude of each block, float32 [<see cref="Blocks"/>].</param>
    /// <param name="signed">Which codes.</param>
    /// <returns>float32 [n], in the caller's dispose scope.</returns>
    public static Tensor Decode(Tensor codes, Tensor largest, bool signed)
    {
        using var scope = NewDisposeScope();
        var values = Values(codes.device)[signed ? 0 : 1].index_select(0, codes.to_type(ScalarType.Int64));
        return values.mul_(Spread(largest, codes.shape[0])).MoveToOuterDisposeScope();
    }

    /// <summary>Replaces codes by those of new numbers.</summary>
    /// <param name="numbers">float32 [n].</param>
    /// <param name="codes">Byte [n]; written to.</param>
    /// <param name="largest">float32 [<see cref="Blocks"/>]; written to.</param>
    /// <param name="signed">Which codes; without sign, numbers are at least 0.</param>
    public static void Encode(Tensor numbers, Tensor codes, Tensor largest, bool signed)
    {
        using var scope = NewDisposeScope();
        var (count, blocks) = (numbers.shape[0], largest.shape[0]);
        var whole = zeros(blocks * BlockSize, ScalarType.Float32, numbers.device);
        whole.narrow(0, 0, count).copy_(numbers);
        largest.copy_(whole.view(blocks, BlockSize).abs().amax(1));
        var divisor = Spread(largest, count);
        divisor = divisor.MaskedFill(divisor.logical_not(), 1.0);
        var values = Values(numbers.device)[signed ? 0 : 1];
        var boundaries = values.narrow(0, 0, 255).Add(values.narrow(0, 1, 255)).MultiplyInPlace(0.5);
        var nearest = bucketize(numbers.div(divisor), boundaries);
        if (!signed)
        {
            nearest = nearest.MaskedFill(nearest.logical_not().logical_and(numbers.GreaterThan(0)), 1);
        }

        codes.copy_(nearest);
    }

    private static Tensor Spread(Tensor largest, long count) =>
        largest.repeat_interleave(BlockSize).narrow(0, 0, count);

    private static float[] Table(bool signed)
    {
        List<double> values = [0, 1];
        for (var power = 0; power < Powers; power++)
        {
            var parts = (signed ? 1 : 2) << power;
            for (var part = 0; part < parts; part++)
            {
                var value = Math.Pow(10, power - Powers + 1) * (0.1 + (0.9 * (part + 0.5) / parts));
                values.Add(value);
                if (signed)
                {
                    values.Add(-value);
                }
            }
        }

        return [.. values.Order().Select(value => (float)value)];
    }
}
