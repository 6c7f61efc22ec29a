using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Defines updates of state that is rounded stochastically or coded, with plain operators on any
/// device.</summary>
internal static class CompactUpdate
{
    // Elements at a time: whole blocks of codes. Random words take 8 bytes each, and as much again for temporaries.
    private const long Piece = 1 << 22;

    private static readonly PlainKernels Plain = new();

    public static void AdamW(
        Tensor weights,
        Tensor gradient,
        Moments moments,
        Tensor gradientScale,
        in AdamWStep settings,
        in Rounding rounding
    )
    {
        for (long from = 0; from < weights.shape[0]; from += Piece)
        {
            using var scope = NewDisposeScope();
            var count = Math.Min(Piece, weights.shape[0] - from);
            var (target, state, draw) = (
                weights.narrow(0, from, count),
                moments.Narrow(from, count),
                rounding.From(from)
            );
            var wide = target.to_type(ScalarType.Float32);
            var (first, second) = state.AreCoded
                ? (
                    BlockCodes.Decode(state.First, state.FirstLargest!, signed: true),
                    BlockCodes.Decode(state.Second, state.SecondLargest!, signed: false)
                )
                : (state.First.to_type(ScalarType.Float32), state.Second.to_type(ScalarType.Float32));
            Plain.AdamW(wide, gradient.narrow(0, from, count), first, second, gradientScale, settings);
            var words = draw.Words(count, weights.device);
            Store(wide, target, words);
            if (state.AreCoded)
            {
                BlockCodes.Encode(first, state.First, state.FirstLargest!, signed: true);
                BlockCodes.Encode(second, state.Second, state.SecondLargest!, signed: false);
                continue;
            }

            Store(first, state.First, words.bitwise_right_shift(16));
            Store(second, state.Second, draw.Words(count, weights.device, second: true));
        }
    }

    public static void Accumulate(Tensor sum, Tensor addend, in Rounding rounding)
    {
        for (long from = 0; from < sum.shape[0]; from += Piece)
        {
            using var scope = NewDisposeScope();
            var count = Math.Min(Piece, sum.shape[0] - from);
            var target = sum.narrow(0, from, count);
            var wide = target.to_type(ScalarType.Float32).AddInPlace(addend.narrow(0, from, count));
            Store(wide, target, rounding.From(from).Words(count, sum.device));
        }
    }

    // A tensor that already is float32 was changed in place.
    private static void Store(Tensor wide, Tensor target, Tensor bits)
    {
        if (target.dtype == ScalarType.BFloat16)
        {
            target.copy_(Rounding.ToBFloat16(wide, bits));
        }
    }
}
