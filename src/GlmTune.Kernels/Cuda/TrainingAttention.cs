using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Attention over whole sequences with libtorch's fastest operator for each case, on strided views of the
/// fused rows.</summary>
/// <remarks>Sequences of equal length that is a multiple of 128 use cuDNN, which prepares a plan for each new shape;
/// all others use variable-length flash attention, which accepts any lengths. Neither repeats keys nor needs a mask.
/// cuDNN's causal mask starts at the top left, so a prefix gets queries of zeros, whose outputs are not used:
/// worthwhile while virtual tokens are few compared to real ones.</remarks>
internal sealed class TrainingAttention(IKernelLauncher launcher, PlainKernels plain)
{
    private const int Threads = 256;
    private const int PlannedLength = 128;

    private static readonly AtenOperator Forwards = new(
        "aten::_flash_attention_forward(Tensor query, Tensor key, Tensor value, Tensor? cum_seq_q, Tensor? cum_seq_k, "
            + "SymInt max_q, SymInt max_k, "
            + "float dropout_p, bool is_causal, bool return_debug_mask, *, float? scale=None, SymInt? "
            + "window_size_left=None, SymInt? window_size_right=None, "
            + "Tensor? seqused_k=None, Tensor? alibi_slopes=None) -> (Tensor output, Tensor softmax_logsumexp, Tensor "
            + "rng_state, Tensor unused, Tensor debug_attn_mask)"
    );

    private static readonly AtenOperator Backwards = new(
        "aten::_flash_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor out, Tensor "
            + "logsumexp, Tensor cum_seq_q, "
            + "Tensor cum_seq_k, SymInt max_q, SymInt max_k, float dropout_p, bool is_causal, Tensor rng_state, Tensor "
            + "unused, *, float? scale=None, "
            + "SymInt? window_size_left=None, SymInt? window_size_right=None) -> (Tensor, Tensor, Tensor)"
    );

    public Tensor Forward(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor? prefix, Tape? tape)
    {
        if (!Supported(fused, heads) || !KernelTensor.Fit(KernelTensor.TypeOf(fused), fused, prefix))
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
            && CudnnAttention.Supports(fused, heads);
        var route =
            planned ? (prefix is null ? Path.Planned : Path.PlannedWithPrefix)
            : prefix is null ? Path.Flash
            : Path.FlashWithPrefix;
        var output = route switch
        {
            Path.Planned => CudnnAttention.Forward(fused, heads, sequences, tape),
            Path.PlannedWithPrefix => ForwardWithPrefix(fused, heads, sequences, prefix!, tape),
            _ => Flash(fused, heads, sequences, prefix, tape),
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
            Path.Planned => Assemble(CudnnAttention.Backward(gradient, heads, sequences, tape), heads, sequences, 0),
            Path.PlannedWithPrefix => BackwardWithPrefix(
                gradient,
                heads,
                sequences,
                route.VirtualTokens,
                prefixGradient,
                tape
            ),
            _ => FlashBackward(
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

    /// <summary>Several new tokens per sequence attend to the cache; the keys are read in place.</summary>
    public Tensor Prefill(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor keys,
        Tensor values,
        Tensor slots,
        Tensor lengths,
        int longest
    )
    {
        if (
            !Supported(fused, heads)
            || !KernelTensor.Fit(KernelTensor.TypeOf(fused), fused, keys, values)
            || !KernelTensor.Whole(slots, lengths)
        )
        {
            return plain.CachedAttention(fused, heads, sequences, keys, values, slots, lengths, longest);
        }

        using var scope = NewDisposeScope();
        var firstRows = KernelTensor.Empty(ScalarType.Int32, fused.device, sequences.Count + 1);
        var used = KernelTensor.Empty(ScalarType.Int32, fused.device, sequences.Count);
        launcher.Launch(
            new("attention_rows", "cache_rows", KernelTensor.TypeOf(fused)),
            Grid.Covering(sequences.Count + 1, Threads),
            Threads,
            slots,
            lengths,
            firstRows,
            used,
            sequences.Count,
            KernelTensor.Size(keys, 1)
        );
        var results = Forwards.CallMany(
            Queries(fused, heads),
            keys.flatten(0, 1),
            values.flatten(0, 1),
            sequences.Cumulative,
            firstRows,
            sequences.Longest,
            longest,
            0.0,
            true,
            false,
            Argument.None,
            Argument.None,
            Argument.None,
            used
        );
        return results[0].view(sequences.Tokens, heads.QueryWidth).MoveToOuterDisposeScope();
    }

    /// <summary>Keys and values with the prefix before each sequence's own, [N + sequences · P, K · D].</summary>
    internal (Tensor Keys, Tensor Values) PrependPrefix(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor prefix
    )
    {
        var virtualTokens = KernelTensor.Size(prefix, 1);
        var rows = sequences.Tokens + (sequences.Count * virtualTokens);
        var (keys, values) = (
            KernelTensor.Empty(KernelTensor.TypeOf(fused), fused.device, rows, heads.KeyValueWidth),
            KernelTensor.Empty(KernelTensor.TypeOf(fused), fused.device, rows, heads.KeyValueWidth)
        );
        launcher.Launch(
            new("attention_rows", "prepend_prefix", KernelTensor.TypeOf(fused)),
            Pieces(rows, heads.KeyValueWidth, KernelTensor.TypeOf(fused)),
            Threads,
            fused,
            prefix,
            sequences.Cumulative,
            keys,
            values,
            sequences.Tokens,
            sequences.Count,
            virtualTokens,
            heads.FusedWidth,
            heads.QueryWidth,
            heads.KeyValueWidth
        );
        return (keys, values);
    }

    /// <summary>Combines the gradients of queries, keys and values into one tensor [N, (H + 2K)·D]; those of a prefix
    /// are skipped.</summary>
    internal Tensor Assemble(Tensor[] gradients, HeadLayout heads, SequenceLayout sequences, int virtualTokens)
    {
        var type = KernelTensor.TypeOf(gradients[0]);
        var result = KernelTensor.Empty(type, gradients[0].device, sequences.Tokens, heads.FusedWidth);
        launcher.Launch(
            new("attention_rows", "assemble_gradient", type),
            Pieces(sequences.Tokens, heads.FusedWidth, type),
            Threads,
            gradients[0],
            gradients[1],
            gradients[2],
            virtualTokens == 0 ? null : sequences.Cumulative,
            result,
            sequences.Tokens,
            sequences.Count,
            virtualTokens,
            heads.QueryWidth,
            heads.KeyValueWidth
        );
        return result;
    }

    /// <summary>Adds the gradients of the prefix's keys and values, summed over the sequences.</summary>
    internal void AddPrefixGradient(
        Tensor[] gradients,
        HeadLayout heads,
        SequenceLayout sequences,
        Tensor prefixGradient
    )
    {
        var virtualTokens = KernelTensor.Size(prefixGradient, 1);
        var type = KernelTensor.TypeOf(gradients[1]);
        launcher.Launch(
            new("attention_rows", "add_prefix_gradient", type),
            Pieces(2L * virtualTokens, heads.KeyValueWidth, type),
            Threads,
            gradients[1],
            gradients[2],
            sequences.Cumulative,
            prefixGradient,
            sequences.Count,
            virtualTokens,
            heads.KeyValueWidth
        );
    }

    /// <summary>Rows with those of the virtual tokens before each sequence's own, [sequences · (P + T), (H + 2K)·D];
    /// their queries are zero.</summary>
    internal static Tensor PrependRows(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor prefix)
    {
        using var scope = NewDisposeScope();
        var (virtualTokens, length) = (KernelTensor.Size(prefix, 1), sequences.Longest);
        var rows = KernelTensor.Empty(
            KernelTensor.TypeOf(fused),
            fused.device,
            sequences.Count,
            virtualTokens + length,
            heads.FusedWidth
        );
        CopyRows(fused.view(sequences.Count, length, heads.FusedWidth), rows.narrow(1, virtualTokens, length));
        var before = rows.narrow(1, 0, virtualTokens);
        before.narrow(2, 0, heads.QueryWidth).zero_();
        before.narrow(2, heads.QueryWidth, heads.KeyValueWidth).copy_(prefix[0].flatten(1));
        before.narrow(2, heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth).copy_(prefix[1].flatten(1));
        return rows.flatten(0, 1).MoveToOuterDisposeScope();
    }

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
        var output = CudnnAttention.Forward(PrependRows(fused, heads, sequences, prefix), heads, padded, tape);
        return RealRows(output, sequences, virtualTokens);
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
        CopyRows(
            gradient.contiguous().view(sequences.Count, sequences.Longest, heads.QueryWidth),
            outer.narrow(1, virtualTokens, sequences.Longest)
        );
        var gradients = CudnnAttention.Backward(outer.flatten(0, 1), heads, padded, tape);
        if (prefixGradient is not null)
        {
            AddPrefixGradient(gradients, heads, sequences, prefixGradient);
        }

        gradients[0] = RealRows(gradients[0], sequences, virtualTokens);
        return Assemble(gradients, heads, sequences, virtualTokens);
    }

    internal static Tensor RealRows(Tensor rows, SequenceLayout sequences, int virtualTokens)
    {
        using var scope = NewDisposeScope();
        var real = rows.view(sequences.Count, virtualTokens + sequences.Longest, -1)
            .narrow(1, virtualTokens, sequences.Longest);
        var result = empty(real.shape, rows.dtype, rows.device);
        CopyRows(real, result);
        return result.flatten(0, 1).MoveToOuterDisposeScope();
    }

    // [sequences, T, width]: each sequence is one block of memory, which the device copies at full speed; many short
    // ones are better copied by one kernel.
    private static void CopyRows(Tensor from, Tensor to)
    {
        const int Few = 8;
        var sequences = from.shape[0];
        if (sequences > Few)
        {
            to.copy_(from);
            return;
        }

        for (var i = 0L; i < sequences; i++)
        {
            to.select(0, i).copy_(from.select(0, i));
        }
    }

    private static bool Supported(Tensor fused, HeadLayout heads) =>
        fused.device.type == DeviceType.CUDA
        && KernelTensor.TypeOf(fused) is ScalarType.BFloat16 or ScalarType.Float16
        && heads.HeadDim % 8 == 0
        && heads.HeadDim <= 256;

    private Tensor Flash(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor? prefix, Tape? tape)
    {
        var virtualTokens = prefix is null ? 0 : KernelTensor.Size(prefix, 1);
        var (key, value) = prefix is null
            ? (Keys(fused, heads), Values(fused, heads))
            : Split(PrependPrefix(fused, heads, sequences, prefix), heads);
        var results = Forwards.CallMany(
            Queries(fused, heads),
            key,
            value,
            sequences.Cumulative,
            sequences.CumulativeKeys(virtualTokens),
            sequences.Longest,
            sequences.Longest + virtualTokens,
            0.0,
            true,
            false
        );
        if (tape is not null)
        {
            tape.Save(fused);
            if (prefix is not null)
            {
                tape.Save(key);
                tape.Save(value);
            }

            foreach (var result in results.AsSpan(0, 4))
            {
                tape.Save(result);
            }
        }

        return results[0].view(sequences.Tokens, heads.QueryWidth);
    }

    private Tensor FlashBackward(
        Tensor gradient,
        HeadLayout heads,
        SequenceLayout sequences,
        bool withPrefix,
        Tensor? prefixGradient,
        Tape tape
    )
    {
        using var unused = tape.TakeTensor();
        using var random = tape.TakeTensor();
        using var statistics = tape.TakeTensor();
        using var output = tape.TakeTensor();
        using var ownValue = withPrefix ? tape.TakeTensor() : null;
        using var ownKey = withPrefix ? tape.TakeTensor() : null;
        using var fused = tape.TakeTensor();
        var (key, value) = (ownKey ?? Keys(fused, heads), ownValue ?? Values(fused, heads));
        var virtualTokens = withPrefix ? (int)((KernelTensor.Size(key, 0) - sequences.Tokens) / sequences.Count) : 0;
        var gradients = Backwards.CallMany(
            gradient.view(sequences.Tokens, heads.QueryHeads, heads.HeadDim),
            Queries(fused, heads),
            key,
            value,
            output,
            statistics,
            sequences.Cumulative,
            sequences.CumulativeKeys(virtualTokens),
            sequences.Longest,
            sequences.Longest + virtualTokens,
            0.0,
            true,
            random,
            unused
        );
        gradients = Array.ConvertAll(gradients, part => part.contiguous());
        if (withPrefix && prefixGradient is not null)
        {
            AddPrefixGradient(gradients, heads, sequences, prefixGradient);
        }

        return Assemble(gradients, heads, sequences, virtualTokens);
    }

    private static Tensor Queries(Tensor fused, HeadLayout heads) =>
        fused.narrow(1, 0, heads.QueryWidth).view(-1, heads.QueryHeads, heads.HeadDim);

    private static Tensor Keys(Tensor fused, HeadLayout heads) =>
        fused.narrow(1, heads.QueryWidth, heads.KeyValueWidth).view(-1, heads.KeyValueHeads, heads.HeadDim);

    private static Tensor Values(Tensor fused, HeadLayout heads) =>
        fused
            .narrow(1, heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth)
            .view(-1, heads.KeyValueHeads, heads.HeadDim);

    private static (Tensor Key, Tensor Value) Split((Tensor Keys, Tensor Values) rows, HeadLayout heads) =>
        (
            rows.Keys.view(-1, heads.KeyValueHeads, heads.HeadDim),
            rows.Values.view(-1, heads.KeyValueHeads, heads.HeadDim)
        );

    private static Grid Pieces(long rows, int width, ScalarType type) =>
        Grid.Covering(rows * width / KernelTensor.PieceOf(type), Threads);

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
