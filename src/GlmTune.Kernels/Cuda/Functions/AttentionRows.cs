using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>The copies around the attention operators: prefixes before rows, and gradients into one tensor.</summary>
internal sealed class AttentionRows(IKernelLauncher launcher)
{
    /// <summary>Keys and values with the prefix before each sequence's own, [N + sequences · P, K · D].</summary>
    public (Tensor Keys, Tensor Values) PrependPrefix(
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
            Threads.PerBlock,
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
    public Tensor Assemble(Tensor[] gradients, HeadLayout heads, SequenceLayout sequences, int virtualTokens)
    {
        var type = KernelTensor.TypeOf(gradients[0]);
        var result = KernelTensor.Empty(type, gradients[0].device, sequences.Tokens, heads.FusedWidth);
        launcher.Launch(
            new("attention_rows", "assemble_gradient", type),
            Pieces(sequences.Tokens, heads.FusedWidth, type),
            Threads.PerBlock,
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
    public void AddPrefixGradient(Tensor[] gradients, HeadLayout heads, SequenceLayout sequences, Tensor prefixGradient)
    {
        var virtualTokens = KernelTensor.Size(prefixGradient, 1);
        var type = KernelTensor.TypeOf(gradients[1]);
        launcher.Launch(
            new("attention_rows", "add_prefix_gradient", type),
            Pieces(2L * virtualTokens, heads.KeyValueWidth, type),
            Threads.PerBlock,
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
    public static Tensor PrependRows(Tensor fused, HeadLayout heads, SequenceLayout sequences, Tensor prefix)
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

    public static Tensor RealRows(Tensor rows, SequenceLayout sequences, int virtualTokens)
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
    public static void CopyRows(Tensor from, Tensor to)
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

    private static Grid Pieces(long rows, int width, ScalarType type) =>
        Grid.Covering(rows * width / KernelTensor.VectorWidth(type), Threads.PerBlock);
}
