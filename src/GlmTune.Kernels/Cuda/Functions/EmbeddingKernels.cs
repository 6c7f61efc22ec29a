using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Cuda;

/// <summary>Rows of tables: the token embedding, its gradient, and angles.</summary>
internal sealed class EmbeddingKernels(IKernelLauncher launcher, PlainKernels plain, KernelFallbacks fallbacks)
{
    /// <summary>As <see cref="LayerKernels.TokenRows"/>, of a table in page-locked host memory; null: it lies
    /// elsewhere, or the kernel cannot be taken.</summary>
    public Tensor? TokenRows(Tensor table, Tensor ids)
    {
        var type = KernelTensor.TypeOf(table);
        if (
            table.device_type == ids.device_type
            || fallbacks.Refuse(
                KernelGuard
                    .For("token_rows")
                    .NeedsVectors(type, table)
                    .NeedsContiguous(ids)
                    .NeedsWholeVectors(type, KernelTensor.Size(table, 1))
            )
        )
        {
            return null;
        }
        // Page-locked memory has the same address on the GPU, which reads the rows over the bus by itself: nothing
        // waits.
        var (tokens, width) = (KernelTensor.Size(ids, 0), KernelTensor.Size(table, 1));
        var result = KernelTensor.Empty(type, ids.device, tokens, width);
        launcher.Launch(
            new("embedding", "token_rows", type, "COMPUTE", (int)type),
            new(tokens),
            Threads.PerBlock,
            table,
            ids,
            result,
            width
        );
        return result;
    }

    public void AddEmbeddingGradient(Tensor gradient, Tensor ids, Tensor target)
    {
        var (tokens, width) = (KernelTensor.Size(gradient, 0), KernelTensor.Size(gradient, 1));
        if (
            tokens == 0
            || fallbacks.Refuse(
                KernelGuard
                    .For("embedding_backward")
                    .NeedsVectors(KernelTensor.TypeOf(gradient), gradient)
                    .NeedsVectors(KernelTensor.TypeOf(target), target)
                    .Needs(width % 4 == 0, "rows that are a multiple of four elements")
            )
        )
        {
            plain.AddEmbeddingGradient(gradient, ids, target);
            return;
        }

        using var scope = NewDisposeScope();
        var (sorted, order) = sort(ids, 0, descending: false, stable: true);
        launcher.Launch(
            new(
                "embedding",
                "embedding_backward",
                KernelTensor.TypeOf(gradient),
                "COMPUTE",
                (int)KernelTensor.TypeOf(target)
            ),
            new(tokens),
            Threads.PerBlock,
            gradient,
            sorted,
            order,
            target,
            tokens,
            width
        );
    }

    public (Tensor Hidden, Tensor Cosine, Tensor Sine) Embed(
        Tensor ids,
        Tensor positions,
        Tensor table,
        Tensor cosines,
        Tensor sines
    )
    {
        var type = KernelTensor.TypeOf(table);
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("embed")
                    .NeedsVectors(type, table)
                    .NeedsVectors(ScalarType.Float32, cosines, sines)
                    .NeedsContiguous(ids, positions)
                    .NeedsWholeVectors(type, KernelTensor.Size(table, 1))
            )
        )
        {
            return plain.Embed(ids, positions, table, cosines, sines);
        }

        var (tokens, width, half) = (
            KernelTensor.Size(ids, 0),
            KernelTensor.Size(table, 1),
            KernelTensor.Size(cosines, 1)
        );
        var hidden = KernelTensor.Empty(type, ids.device, tokens, width);
        var (cosine, sine) = (
            KernelTensor.Empty(ScalarType.Float32, ids.device, tokens, half),
            KernelTensor.Empty(ScalarType.Float32, ids.device, tokens, half)
        );
        launcher.Launch(
            new("embed", "embed", type),
            new(tokens),
            Threads.PerBlock,
            ids,
            positions,
            table,
            cosines,
            sines,
            hidden,
            cosine,
            sine,
            width,
            half
        );
        return (hidden, cosine, sine);
    }

    public Tensor SelectRows(Tensor table, Tensor index)
    {
        if (
            fallbacks.Refuse(
                KernelGuard
                    .For("select_rows")
                    .Needs(KernelTensor.TypeOf(table) == ScalarType.Float32, "a table in float32")
                    .NeedsContiguous(table, index)
            )
        )
        {
            return plain.SelectRows(table, index);
        }

        var (rows, width) = (KernelTensor.Size(index, 0), KernelTensor.Size(table, 1));
        var result = KernelTensor.Empty(ScalarType.Float32, table.device, rows, width);
        launcher.Launch(
            new("embed", "select_rows", ScalarType.Float32),
            new(rows),
            Threads.PerBlock,
            table,
            index,
            result,
            width
        );
        return result;
    }
}
