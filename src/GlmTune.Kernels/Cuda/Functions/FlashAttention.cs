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

    /// <summary>The sequences of a pass with several new tokens attend to the cache.</summary>
    /// <remarks>Their keys and values are gathered first, because the operator knows no blocks: 2 KiB of traffic for
    /// a token of GLM-4-9B in a layer, 6 µs for 8,192 of them, beside some 300 µs for a layer's products of 512 new
    /// tokens.</remarks>
    /// <returns>Only their rows, [n, H·D].</returns>
    public Tensor Prefill(Tensor fused, HeadLayout heads, CachedBlocks cache, CachedSequences sequences)
    {
        using var scope = NewDisposeScope();
        var (added, cached) = (sequences.Several!, sequences.SeveralKeys!);
        var type = KernelTensor.TypeOf(fused);
        var (keys, values) = (
            KernelTensor.Empty(type, fused.device, cached.Tokens, heads.KeyValueWidth),
            KernelTensor.Empty(type, fused.device, cached.Tokens, heads.KeyValueWidth)
        );
        launcher.Launch(
            new("attention_rows", "gather_blocks", type),
            Grid.Covering((long)cached.Tokens * heads.KeyValueWidth / KernelTensor.VectorWidth(type), Threads.PerBlock),
            Threads.PerBlock,
            cache.Keys,
            cache.Values,
            cache.Tables,
            sequences.Slots.narrow(0, sequences.Singles, added.Count),
            cached.Cumulative,
            keys,
            values,
            cached.Tokens,
            cached.Count,
            KernelTensor.Size(cache.Tables, 1),
            heads.KeyValueWidth
        );
        var (key, value) = Split((keys, values), heads);
        var results = Forwards.CallMany(
            Queries(fused.narrow(0, sequences.Singles, added.Tokens), heads),
            key,
            value,
            added.Cumulative,
            cached.Cumulative,
            added.Longest,
            cached.Longest,
            0.0,
            true,
            false
        );
        return results[0].view(added.Tokens, heads.QueryWidth).MoveToOuterDisposeScope();
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
