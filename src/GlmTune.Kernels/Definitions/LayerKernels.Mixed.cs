using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <content>Low-rank adapters of which each row of a pass uses its own.</content>
internal abstract partial class LayerKernels
{
    /// <summary>First half of the adapters: s ∘ (x · Aᵀ) with each row's own A and scales s.</summary>
    /// <param name="x">[N, in].</param>
    /// <param name="rows">Which adapter each row uses.</param>
    /// <param name="adapters">The adapters of the layer, on x's device.</param>
    /// <returns>[N, <see cref="MixedLowRank.Columns"/>], in the order of <see cref="MixedRows.Order"/>; the columns
    /// that a row's adapter lacks are undefined.</returns>
    /// <remarks>Source: Chen et al., Punica, arXiv:2310.18547, section 4.</remarks>
    public virtual Tensor MixedDown(Tensor x, MixedRows rows, MixedLowRank adapters)
    {
        using var scope = NewDisposeScope();
        var low = zeros(x.shape[0], adapters.Columns, x.dtype, x.device);
        foreach (var (adapter, first, count) in rows.Groups())
        {
            if (adapters[adapter] is { } factors)
            {
                var own = x.index_select(0, rows.Order.narrow(0, first, count)).mm(factors.A.t());
                low.narrow(0, first, count)
                    .narrow(1, 0, factors.Columns)
                    .copy_(own.mul(factors.Scales).to_type(x.dtype));
            }
        }

        return low.MoveToOuterDisposeScope();
    }

    /// <summary>Second half: added + low · Bᵀ with each row's own B.</summary>
    /// <param name="low">From <see cref="MixedDown"/>.</param>
    /// <param name="rows">Which adapter each row uses.</param>
    /// <param name="adapters">The adapters of the layer.</param>
    /// <param name="outputs">Number of outputs of the layer.</param>
    /// <param name="added">Added to every row, [out]; null: nothing.</param>
    /// <returns>[N, out], in the order of x.</returns>
    public virtual Tensor MixedUp(Tensor low, MixedRows rows, MixedLowRank adapters, long outputs, Tensor? added)
    {
        using var scope = NewDisposeScope();
        var y = zeros(low.shape[0], outputs, low.dtype, low.device);
        foreach (var (adapter, first, count) in rows.Groups())
        {
            if (adapters[adapter] is not { } factors)
            {
                continue;
            }

            var which = rows.Order.narrow(0, first, count);
            foreach (var (part, column, b) in factors.Split())
            {
                var product = low.narrow(0, first, count).narrow(1, column, part.Rank).mm(b.t());
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
