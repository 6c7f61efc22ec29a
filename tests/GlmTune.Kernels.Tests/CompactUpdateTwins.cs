using GlmTune.Kernels.Definitions;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests;

/// <summary>Updates of state that is rounded stochastically or coded, against AdamW in float64 and against their
/// definition, which draws the same random numbers.</summary>
internal static class CompactUpdateTwins
{
    private const long Offset = 3;

    // What differs where float32 arithmetic falls on the other side of a random number or of a boundary.
    private const double Otherwise = 0.002;

    public static void AdamW(TwinCheck check, KernelTwins.Sizes sizes)
    {
        foreach (var (weights, moments) in Types(check))
        {
            foreach (var (count, offset) in Runs(sizes))
            {
                Compare(check, weights, moments, count, offset);
            }
        }
    }

    public static void CodedAdamW(TwinCheck check, KernelTwins.Sizes sizes)
    {
        foreach (var weights in (ScalarType[])[ScalarType.BFloat16, ScalarType.Float32])
        {
            foreach (var (count, offset) in Runs(sizes))
            {
                Compare(check, weights, ScalarType.Byte, count, offset);
            }
        }
    }

    public static void Accumulate(TwinCheck check, KernelTwins.Sizes sizes)
    {
        var addends = check.Type == ScalarType.Float32 ? ScalarType.Float32 : ScalarType.BFloat16;
        foreach (var (count, offset) in Runs(sizes))
        {
            var sum = check.RandomSingle(count + 8).to_type(ScalarType.BFloat16).narrow(0, offset, count);
            var addend = check.RandomSingle(count + 8).to_type(addends).narrow(0, offset, count);
            var expected = TwinCheck.Wide(sum).Add(TwinCheck.Wide(addend));
            var defined = sum.clone();
            check.Kernels.Accumulate(sum, addend, new Rounding(7, 5, 16));
            check.Reference.Accumulate(defined, addend, new Rounding(7, 5, 16));
            check.Compare($"sum of {count}", expected, sum, 2);
            CompareBits(check, $"bits of a sum of {count}", defined, sum);
        }
    }

    private static IEnumerable<(ScalarType Weights, ScalarType Moments)> Types(TwinCheck check) =>
        check.Type == ScalarType.Float32
            ? [(ScalarType.Float32, ScalarType.BFloat16), (ScalarType.Float32, ScalarType.Float32)]
            : [(ScalarType.BFloat16, ScalarType.BFloat16), (ScalarType.BFloat16, ScalarType.Float32)];

    private static IEnumerable<(long Count, long Offset)> Runs(KernelTwins.Sizes sizes) =>
        [(4L * sizes.Hidden, 0), ((4L * sizes.Hidden) - 5, Offset)];

    private static void Compare(TwinCheck check, ScalarType type, ScalarType moments, long count, long offset)
    {
        Tensor Run(Tensor whole, ScalarType of) => whole.to_type(of).narrow(0, offset, count);
        var weights = Run(check.RandomSingle(count + 8).Multiply(0.02), type);
        var gradient = Run(check.RandomSingle(count + 8), type);
        var state = StateOf(check, moments, count, offset);
        var scale = tensor(0.5f).to(check.Device);
        var (expected, first, second) = (TwinCheck.Wide(weights), WideFirst(state), WideSecond(state));
        var settings = new AdamWStep(0.01, 0.9, 0.999, 1e-8, 0.1, 3);
        var (defined, definedState) = (weights.clone(), Copy(state));
        var (later, laterState) = (weights.clone(), Copy(state));
        var rounding = new Rounding(41, Rounding.SaltOf("layer"), 24);
        check.Kernels.CompactAdamW(weights, gradient, state, scale, settings, rounding);
        check.Reference.CompactAdamW(defined, gradient, definedState, scale, settings, rounding);
        check.Reference.AdamW(
            expected,
            TwinCheck.Wide(gradient),
            first,
            second,
            scale.to(ScalarType.Float64),
            settings
        );
        // The key and the factors in memory, where recorded work finds them.
        var (shrink, rate, inverse) = settings.Factors;
        var stored = tensor(new[] { (float)shrink, (float)rate, (float)inverse }).to(check.Device);
        var key = new MaskSeed(0, tensor(new[] { unchecked((int)DropoutMask.Key(41)) }).to(check.Device));
        check.Kernels.CompactAdamW(
            later,
            gradient,
            laterState,
            scale,
            settings with
            {
                LearningRate = 7,
                Step = 7,
                Stored = stored,
            },
            rounding with
            {
                Step = key,
            }
        );

        var what = $"{type} weights, {moments} moments, {count}";
        // Where the second moment is small, a step magnifies its rounding.
        check.Compare($"{what}: weights", expected, weights, type == ScalarType.Float32 ? 128 : 8);
        CompareBits(check, $"{what}: bits of weights", defined, weights);
        check.Compare($"{what}: weights, stored factors", TwinCheck.Wide(weights), later, 0);
        if (!state.AreCoded)
        {
            check.Compare($"{what}: first moment", first, state.First, 8);
            check.Compare($"{what}: second moment", second, state.Second, 8);
            CompareBits(check, $"{what}: bits of the first moment", definedState.First, state.First);
            CompareBits(check, $"{what}: bits of the second moment", definedState.Second, state.Second);
            return;
        }

        CompareBits(check, $"{what}: first codes", definedState.First, state.First);
        CompareBits(check, $"{what}: second codes", definedState.Second, state.Second);
        check.Compare($"{what}: largest first", TwinCheck.Wide(definedState.FirstLargest!), state.FirstLargest!, 8);
        check.Compare($"{what}: largest second", TwinCheck.Wide(definedState.SecondLargest!), state.SecondLargest!, 8);
        // Half the distance between codes, over the largest of the block.
        CompareCoded(check, $"{what}: first moment", first, WideFirst(state));
        CompareCoded(check, $"{what}: second moment", second, WideSecond(state));
    }

    private static Moments StateOf(TwinCheck check, ScalarType type, long count, long offset)
    {
        if (type != ScalarType.Byte)
        {
            return new Moments(
                check.RandomSingle(count + 8).Multiply(0.1).to_type(type).narrow(0, offset, count),
                check.RandomSingle(count + 8).Square().to_type(type).narrow(0, offset, count)
            );
        }

        var blocks = BlockCodes.Blocks(count);
        return new Moments(
            check.RandomIndex(256, count + 8).to_type(type).narrow(0, offset, count),
            check.RandomIndex(256, count + 8).to_type(type).narrow(0, offset, count),
            check.RandomSingle(blocks).abs(),
            check.RandomSingle(blocks).Square()
        );
    }

    private static Moments Copy(Moments state) =>
        new(state.First.clone(), state.Second.clone(), state.FirstLargest?.clone(), state.SecondLargest?.clone());

    private static Tensor WideFirst(Moments state) =>
        TwinCheck.Wide(
            state.AreCoded ? BlockCodes.Decode(state.First, state.FirstLargest!, signed: true) : state.First.clone()
        );

    private static Tensor WideSecond(Moments state) =>
        TwinCheck.Wide(
            state.AreCoded ? BlockCodes.Decode(state.Second, state.SecondLargest!, signed: false) : state.Second.clone()
        );

    private static void CompareBits(TwinCheck check, string what, Tensor expected, Tensor actual)
    {
        if (expected.dtype == ScalarType.Float32)
        {
            return; // the last bit depends on the order of operations
        }

        var share = TwinCheck.Wide(expected.ne(actual)).mean().item<double>();
        check.Results.Add(new(what, share, share, Otherwise));
    }

    private static void CompareCoded(TwinCheck check, string what, Tensor expected, Tensor actual)
    {
        var (count, blocks) = (expected.shape[0], BlockCodes.Blocks(expected.shape[0]));
        Tensor Blocked(Tensor x)
        {
            var whole = zeros(blocks * BlockCodes.BlockSize, ScalarType.Float64, check.Device);
            whole.narrow(0, 0, count).copy_(x);
            return whole.view(blocks, BlockCodes.BlockSize);
        }

        var error = (Blocked(expected) - Blocked(actual)).abs().amax(1) / Blocked(expected).abs().amax(1);
        // The widest distance between two signed codes is 0.9 / 64 of the largest.
        check.Results.Add(new(what, 0, error.max().item<double>(), 0.9 / 64 / 2 * 1.01 / 8));
    }
}
