using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <content>Low-rank adapters of which each row of a pass uses its own.</content>
internal abstract partial class LayerKernels
{
    /// <summary>What a layer's output starts with: added + s · B (A x), with each row's own A, B and scale
    /// s.</summary>
    /// <param name="x">[N, in].</param>
    /// <param name="rows">Which adapter each row uses.</param>
    /// <param name="adapters">The adapters of the layer, on x's device.</param>
    /// <param name="outputs">Number of outputs of the layer.</param>
    /// <param name="added">Added to every row, [out]; null: nothing.</param>
    /// <returns>[N, out], contiguous.</returns>
    /// <remarks>Source: Chen et al., Punica, arXiv:2310.18547, section 4.</remarks>
    public virtual Tensor MixedLowRank(
        Tensor x,
        MixedRows rows,
        MixedLowRank adapters,
        long outputs,
        Tensor? added = null
    )
    {
        using var scope = NewDisposeScope();
        var y = zeros(x.shape[0], outputs, x.dtype, x.device);
        foreach (var (adapter, first, count) in rows.Groups())
        {
            if (adapters[adapter] is not { } factors)
            {
                continue;
            }

            var which = rows.Order.narrow(0, first, count);
            var low = x.index_select(0, which).mm(factors.A.t()).mul(factors.Scales).to_type(x.dtype);
            foreach (var (part, column, b) in factors.Split())
            {
                var product = low.narrow(1, column, part.Rank).mm(b.t());
                y.narrow(1, part.FirstRow, part.Rows).index_copy_(0, which, product);
            }
        }

        return (added is null ? y : y.AddInPlace(added)).MoveToOuterDisposeScope();
    }

    /// <summary>y ← y + x · weightᵀ. Optimized for few rows (decoding).</summary>
    /// <param name="y">[n, out], contiguous.</param>
    /// <param name="x">[n, in].</param>
    /// <param name="weight">[out, in].</param>
    public virtual void AddProduct(Tensor y, Tensor x, Tensor weight)
    {
        using var transposed = weight.t();
        y.addmm_(x, transposed, 1, 1);
    }
}
