using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Chooses tokens on the GPU, so that the next pass need not wait for the host.</summary>
internal sealed class SamplingKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
{
    // As in the source, which finds places of threads in its tables by it.
    private const int BlockThreads = 1024;

    public Tensor Sample(Tensor logits, SamplingTable table, int count, Tensor drawn, Tensor ids)
    {
        var (type, rows) = (KernelTensor.TypeOf(logits), table.Rows.Length);
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("sample")
                    .NeedsVectors(type, logits)
                    .NeedsWholeVectors(type, KernelTensor.Size(logits, 1))
                    .NeedsContiguous(drawn, ids)
                    .Needs(count <= TokenDraw.MaxTokens, $"at most {TokenDraw.MaxTokens} tokens")
            )
        )
        {
            return plain.Sample(logits, table, count, drawn, ids);
        }

        using var scope = NewDisposeScope();
        var (words, edits, masks, maskWords) = table.Pack();
        var packed = HostValues.ToDevice(words, logits.device);
        var result = KernelTensor.Empty(ScalarType.Float64, logits.device, 2, rows);
        launcher.Launch(
            new("sample", "sample", type),
            new(rows),
            BlockThreads,
            logits,
            packed,
            drawn,
            ids,
            result,
            KernelTensor.Size(logits, 1),
            count,
            edits,
            masks,
            maskWords
        );
        return result.MoveToOuterDisposeScope();
    }
}
