using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>The random numbers of stochastic rounding for a flat run: they follow from a seed, the run and an element's
/// place in it, as dropout masks do, so that a resumed run draws the same.</summary>
/// <param name="Step">Seed of the update.</param>
/// <param name="Salt">Tells the run from others: see <see cref="SaltOf"/>.</param>
/// <param name="Start">Index of the first element in the whole run, of which this may be a slice.</param>
/// <remarks>A float32 x becomes the bfloat16 below or above it, upwards with a probability equal to the part that is
/// cut off: the sum of many small changes is then right on average, where rounding to nearest would lose each of them.
/// Source: Zamirai et al., Revisiting BFloat16 Training, arXiv:2010.06192, section 4.</remarks>
internal readonly record struct Rounding(MaskSeed Step, uint Salt, long Start = 0)
{
    /// <summary>What the key of the second moment's words differs by from that of the first words.</summary>
    internal const uint SecondStream = 0x5BD1E995;

    private static readonly AtenOperator ViewAs = new(
        "aten::view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)"
    );

    /// <summary>The salt of a run, from its name (FNV-1a).</summary>
    public static uint SaltOf(string name)
    {
        var hash = 2166136261u;
        foreach (var character in name)
        {
            hash = unchecked((hash ^ character) * 16777619);
        }

        return hash;
    }

    /// <summary>The same numbers for elements from <paramref name="offset"/> on.</summary>
    public Rounding From(long offset) => this with { Start = Start + offset };

    /// <summary>Random words of the run's first <paramref name="count"/> elements: int64 [count]; in the caller's
    /// dispose scope.</summary>
    /// <param name="count">Number of elements.</param>
    /// <param name="device">Device of the words.</param>
    /// <param name="second">Whether a second word for the same elements is meant.</param>
    internal Tensor Words(long count, Device device, bool second = false)
    {
        using var scope = NewDisposeScope();
        var key = Step.Stored is null
            ? TensorCreation.Full([1], (long)PositionHash.Of(Salt, Step.Key), ScalarType.Int64, device)
            : PositionHash.Of(Salt, 1, Step.KeyOn(device));
        return PositionHash
            .Of(Start, count, second ? key.bitwise_xor(tensor((long)SecondStream, device: device)) : key)
            .MoveToOuterDisposeScope();
    }

    /// <summary>Rounds by 16 random bits.</summary>
    /// <param name="x">float32 [n], contiguous.</param>
    /// <param name="bits">int64 [n], of which the low 16 bits count.</param>
    /// <returns>bfloat16 [n], in the caller's dispose scope.</returns>
    internal static Tensor ToBFloat16(Tensor x, Tensor bits)
    {
        using var scope = NewDisposeScope();
        var sum = ViewAs.Call(x, ScalarType.Int32).Add(bits.bitwise_and(0xFFFF).to_type(ScalarType.Int32));
        return ViewAs
            .Call(sum.bitwise_right_shift(16).to_type(ScalarType.Int16), ScalarType.BFloat16)
            .MoveToOuterDisposeScope();
    }
}
