using GlmTune.Kernels.Definitions;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Attention over whole sequences with libtorch's fastest operator for each case, on strided views of the
/// fused rows.</summary>
/// <remarks>Sequences of equal length that is a multiple of 128 use cuDNN, which prepares a plan for each new shape;
/// all others use variable-length flash attention, which accepts any lengths. Neither repeats keys nor needs a mask.
/// cuDNN's causal mask starts at the top left, so a prefix gets queries of zeros, whose outputs are not used:
/// worthwhile while virtual tokens are few compared to real ones.</remarks>
internal sealed class TrainingAttention
{
    private const int PlannedLength = 128;

    private readonly PlainKernels plain;
    private readonly KernelFallbacks fallbacks;
    private readonly AttentionRows rows;
    private readonly FlashAttention flash;

    public TrainingAttention(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
    {
        (this.plain, this.fallbacks, rows) = (plain, fallbacks, new AttentionRows(launcher));
        flash = new FlashAttention(launcher, rows);
    }

    /// <summary>Whether attention over a model's heads needs no plain operators.</summary>
    public static bool Takes(ScalarType type, HeadLayout heads) => Guard("attention", type, heads).Holds;

    public Tensor Forward(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor? prefix, Tape? tape)
    {
        if (fallbacks.Refuse(Guard("attention", fused, heads, prefix)))
        {
            var fallback = plain.Attention(fused, heads, sequences, prefix, tape);
            tape?.Save(new Route(Path.Plain, 0));
            return fallback;
        }

        using var scope = NewDisposeScope();
        var virtualTokens = prefix is null ? 0 : KernelTensor.Size(prefix, 1);
        var planned =
            sequences.Uniform
            && (virtualTokens + sequences.Longest) % PlannedLength == 0
            && 3 * virtualTokens <= sequences.Longest
            && IsPlanned(fused, heads);
        var route =
            planned ? (prefix is null ? Path.Planned : Path.PlannedWithPrefix)
            : prefix is null ? Path.Flash
            : Path.FlashWithPrefix;
        var output = route switch
        {
            Path.Planned => CudnnAttention.Forward(fused, heads, sequences, tape),
            Path.PlannedWithPrefix => ForwardWithPrefix(fused, heads, sequences, prefix!, tape),
            _ => flash.Forward(fused, heads, sequences, prefix, tape),
        };
        tape?.Save(new Route(route, virtualTokens));
        return output.MoveToOuterDisposeScope();
    }

    public Tensor Backward(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor? prefixGradient,
        Tape tape
    )
    {
        using var route = tape.Take<Route>();
        if (route.Path == Path.Plain)
        {
            return plain.AttentionBackward(gradient, heads, sequences, prefixGradient, tape);
        }

        using var scope = NewDisposeScope();
        var result = route.Path switch
        {
            Path.Planned => rows.Assemble(
                CudnnAttention.Backward(gradient, heads, sequences, tape),
                heads,
                sequences,
                0
            ),
            Path.PlannedWithPrefix => BackwardWithPrefix(
                gradient,
                heads,
                sequences,
                route.VirtualTokens,
                prefixGradient,
                tape
            ),
            _ => flash.Backward(
                gradient.contiguous(),
                heads,
                sequences,
                route.Path == Path.FlashWithPrefix,
                prefixGradient,
                tape
            ),
        };
        return result.MoveToOuterDisposeScope();
    }

    /// <summary>The sequences of a pass with several new tokens attend to the cache.</summary>
    /// <returns>Only their rows, [n, H·D].</returns>
    public Tensor Prefill(Tensor fused, HeadLayout heads, CachedBlocks cache, CachedSequences sequences)
    {
        if (
            fallbacks.Refuse(
                Guard("cached attention", fused, heads, cache.Keys, cache.Values)
                    .NeedsContiguous(cache.Tables, sequences.Slots)
            )
        )
        {
            using var scope = NewDisposeScope();
            var all = plain.CachedAttention(fused, heads, cache, sequences);
            return all.narrow(0, sequences.Singles, sequences.Several!.Tokens).MoveToOuterDisposeScope();
        }

        return flash.Prefill(fused, heads, cache, sequences);
    }

    private bool IsPlanned(Tensor fused, HeadLayout heads)
    {
        var supported = CudnnAttention.Supports(fused, heads, out var reason);
        if (reason is not null)
        {
            fallbacks.Note("cuDNN attention", reason);
        }

        return supported;
    }

    private static KernelGuard Guard(string kernel, Tensor fused, HeadLayout heads, params ReadOnlySpan<Tensor?> others)
    {
        var type = KernelTensor.TypeOf(fused);
        return Guard(kernel, type, heads)
            .Needs(fused.device.type == DeviceType.CUDA, "a GPU")
            .NeedsVectors(type, fused)
            .NeedsVectors(type, others);
    }

    private static KernelGuard Guard(string kernel, ScalarType type, HeadLayout heads) =>
        KernelGuard
            .For(kernel)
            .Needs(type is ScalarType.BFloat16 or ScalarType.Float16, "inputs in bfloat16 or float16")
            .Needs(heads.HeadDim % 8 == 0 && heads.HeadDim <= 256, "a head dimension of at most 256, in steps of 8");

    private static Tensor ForwardWithPrefix(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor prefix,
        Tape? tape
    )
    {
        var virtualTokens = KernelTensor.Size(prefix, 1);
        using var padded = SequenceLayout.OfRows(sequences.Count, virtualTokens + sequences.Longest, sequences.Device);
        var output = CudnnAttention.Forward(
            AttentionRows.PrependRows(fused, heads, sequences, prefix),
            heads,
            padded,
            tape
        );
        return AttentionRows.RealRows(output, sequences, virtualTokens);
    }

    private Tensor BackwardWithPrefix(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        int virtualTokens,
        Tensor? prefixGradient,
        Tape tape
    )
    {
        using var padded = SequenceLayout.OfRows(sequences.Count, virtualTokens + sequences.Longest, sequences.Device);
        var outer = empty([sequences.Count, padded.Longest, heads.QueryWidth], gradient.dtype, gradient.device);
        outer.narrow(1, 0, virtualTokens).zero_();
        AttentionRows.CopyRows(
            gradient.contiguous().view(sequences.Count, sequences.Longest, heads.QueryWidth),
            outer.narrow(1, virtualTokens, sequences.Longest)
        );
        var gradients = CudnnAttention.Backward(outer.flatten(0, 1), heads, padded, tape);
        if (prefixGradient is not null)
        {
            rows.AddPrefixGradient(gradients, heads, sequences, prefixGradient);
        }

        gradients[0] = AttentionRows.RealRows(gradients[0], sequences, virtualTokens);
        return rows.Assemble(gradients, heads, sequences, virtualTokens);
    }

    private enum Path
    {
        Plain,
        Flash,
        FlashWithPrefix,
        Planned,
        PlannedWithPrefix,
    }

    // Tells the backward pass which path the forward pass took.
    private sealed class Route(Path path, int virtualTokens) : IDisposable
    {
        public Path Path => path;

        public int VirtualTokens => virtualTokens;

        public void Dispose() { }
    }
}
