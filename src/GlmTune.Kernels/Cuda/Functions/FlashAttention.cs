using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Variable-length flash attention, which takes sequences of any lengths as they come.</summary>
internal sealed class FlashAttention(IKernelLauncher launcher, AttentionRows rows)
{
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
        using var scope = NewDisposeScope();
        var firstRows = KernelTensor.Empty(ScalarType.Int32, fused.device, sequences.Count + 1);
        var used = KernelTensor.Empty(ScalarType.Int32, fused.device, sequences.Count);
        launcher.Launch(
            new("attention_rows", "cache_rows", KernelTensor.TypeOf(fused)),
            Grid.Covering(sequences.Count + 1, Threads.PerBlock),
            Threads.PerBlock,
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

    /// <summary>Attention output [N, H·D]; saves what <see cref="Backward"/> needs on the tape.</summary>
    public Tensor Forward(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor? prefix, Tape? tape)
    {
        var virtualTokens = prefix is null ? 0 : KernelTensor.Size(prefix, 1);
        var (key, value) = prefix is null
            ? (Keys(fused, heads), Values(fused, heads))
            : Split(rows.PrependPrefix(fused, heads, sequences, prefix), heads);
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

    /// <summary>The gradient of the fused rows [N, (H + 2K)·D]; adds that of the prefix.</summary>
    public Tensor Backward(
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
            rows.AddPrefixGradient(gradients, heads, sequences, prefixGradient);
        }

        return rows.Assemble(gradients, heads, sequences, virtualTokens);
    }

    private static Tensor Queries(Tensor fused, HeadLayout heads) =>
        fused.narrow(1, 0, heads.QueryWidth).view(-1, heads.QueryHeads, heads.HeadDim);

    private static Tensor Keys(Tensor fused, HeadLayout heads) =>
        fused.narrow(1, heads.QueryWidth, heads.KeyValueWidth).view(-1, heads.KeyValueHeads, heads.HeadDim);

    private static Tensor Values(Tensor fused, HeadLayout heads) =>
        fused
            .narrow(1, heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueWidth)
            .view(-1, heads.KeyValueHeads, heads.HeadDim);

    private static (Tensor Key, Tensor Value) Split((Tensor Keys, Tensor Values) both, HeadLayout heads) =>
        (
            both.Keys.view(-1, heads.KeyValueHeads, heads.HeadDim),
            both.Values.view(-1, heads.KeyValueHeads, heads.HeadDim)
        );
}
