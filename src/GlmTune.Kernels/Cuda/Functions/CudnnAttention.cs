using System.Runtime.InteropServices;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Dispatch;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>cuDNN's causal attention over sequences of equal length; on Hopper nearly twice as fast as
/// FlashAttention-2.</summary>
internal static class CudnnAttention
{
    // The forward operator returns integers among tensors, which libtorch's C interface cannot convert, but TorchScript
    // can.
    private const string Script = """
        def attend(query, key, value, keep: bool):
            output, statistics, starts_q, starts_k, longest_q, longest_k, seed, offset, mask = torch._scaled_dot_product_cudnn_attention(
                query, key, value, None, keep, 0.0, True, False)
            return output, statistics, seed, offset

        """;

    private static readonly AtenOperator Backwards = new(
        "aten::_scaled_dot_product_cudnn_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, "
            + "Tensor out, Tensor logsumexp, "
            + "Tensor philox_seed, Tensor philox_offset, Tensor attn_bias, Tensor cum_seq_q, Tensor cum_seq_k, SymInt "
            + "max_q, SymInt max_k, float dropout_p, "
            + "bool is_causal, *, float? scale=None) -> (Tensor, Tensor, Tensor)"
    );

    private static readonly Lazy<jit.CompilationUnit> Compiled = new(() => jit.compile(Script));
    private static readonly CaseProbe<(HeadLayout, ScalarType, int)> Probe = new();

    /// <summary>Whether cuDNN supports such heads. Each layout of heads, type and GPU is tried once, on a small input,
    /// but not inside a capture, which a trial would end.</summary>
    /// <param name="fused">Rows that would be attended.</param>
    /// <param name="heads">How they are split.</param>
    /// <param name="reason">Why not; null: it does, or is not the library for such heads.</param>
    public static bool Supports(Tensor fused, HeadLayout heads, out string? reason)
    {
        reason = null;
        return heads.HeadDim is 64 or 128
            && Probe.CanDo(
                (heads, fused.dtype, fused.device.index),
                () => Try(fused, heads),
                error => error is AtenException or ExternalException or InvalidCastException,
                mayTry: !CudaGraph.IsCapturing,
                out reason
            );
    }

    /// <summary>Attention output [N, H·D]; saves what <see cref="Backward"/> needs on the tape.</summary>
    public static Tensor Forward(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tape? tape)
    {
        var (query, key, value) = Views(fused, heads, sequences);
        var (output, statistics, seed, offset) = ((Tensor, Tensor, Tensor, Tensor))
            Compiled.Value.invoke("attend", query, key, value, tape is not null);
        if (tape is not null)
        {
            tape.Save(fused);
            tape.Save(output);
            tape.Save(statistics);
            tape.Save(new State(Keep(seed), Keep(offset)));
        }

        return output.transpose(1, 2).reshape(sequences.Tokens, heads.QueryWidth);
    }

    /// <summary>Gradients of queries [N, H·D], keys and values [N, K·D].</summary>
    public static Tensor[] Backward(Tensor gradient, HeadLayout heads, SequenceLayout sequences, Tape tape)
    {
        using var state = tape.Take<State>();
        using var statistics = tape.TakeTensor();
        using var output = tape.TakeTensor();
        using var fused = tape.TakeTensor();
        var (query, key, value) = Views(fused, heads, sequences);
        var outer = gradient.view(sequences.Count, sequences.Longest, heads.QueryHeads, heads.HeadDim).transpose(1, 2);
        var gradients = Backwards.CallMany(
            outer,
            query,
            key,
            value,
            output,
            statistics,
            state.Seed ?? Argument.Undefined,
            state.Offset ?? Argument.Undefined,
            Argument.Undefined,
            Argument.Undefined,
            Argument.Undefined,
            sequences.Longest,
            sequences.Longest,
            0.0,
            true
        );
        return Array.ConvertAll(gradients, part => part.transpose(1, 2).reshape(sequences.Tokens, -1));
    }

    private static void Try(Tensor fused, HeadLayout heads)
    {
        using var scope = NewDisposeScope();
        using var tape = new Tape();
        using var sequences = SequenceLayout.OfRows(1, 128, fused.device);
        var rows = zeros(128, heads.FusedWidth, fused.dtype, fused.device);
        using var output = Forward(rows, heads, sequences, tape);
        _ = Backward(output, heads, sequences, tape);
    }

    private static (Tensor Query, Tensor Key, Tensor Value) Views(
        Tensor fused,
        HeadLayout heads,
        SequenceLayout sequences
    )
    {
        Tensor View(int offset, int count) =>
            fused
                .narrow(1, offset, count * heads.HeadDim)
                .view(sequences.Count, sequences.Longest, count, heads.HeadDim)
                .transpose(1, 2);
        return (
            View(0, heads.QueryHeads),
            View(heads.QueryWidth, heads.KeyValueHeads),
            View(heads.QueryWidth + heads.KeyValueWidth, heads.KeyValueHeads)
        );
    }

    private static Tensor? Keep(Tensor tensor) => tensor.IsInvalid ? null : tensor.DetachFromDisposeScope();

    // The random state, which cuDNN requires even without dropout.
    private sealed record State(Tensor? Seed, Tensor? Offset) : IDisposable
    {
        public void Dispose()
        {
            Seed?.Dispose();
            Offset?.Dispose();
        }
    }
}
