using GlmTune.Kernels;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>DoRA: a trained magnitude m for each output row of W + s·B·A, which is divided by its own norm.</summary>
/// <remarks>In float32 or wider, because gains close to one would be lost in 16 bits. The norm is treated as a constant
/// in the backward pass. Source: Liu et al., DoRA, arXiv:2402.09353, sections 4.1 and 4.3.</remarks>
internal sealed class RowMagnitudes : IDisposable
{
    private readonly Linear linear;
    private readonly Tensor values;
    private readonly Tensor? adapted;
    private readonly List<(Parameter Parameter, long FirstRow)> parts = [];
    private Tensor? squares;

    /// <param name="linear">The layer.</param>
    /// <param name="rows">Names and ranges of the output rows that have a delta; other rows are unchanged.</param>
    public RowMagnitudes(Linear linear, IReadOnlyList<(string Module, long First, long Count)> rows)
    {
        this.linear = linear;
        var device = linear.Weight.Device;
        Type = linear.Weight.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        values = ones(linear.OutputWidth, Type, device).DetachFromDisposeScope();
        foreach (var (module, first, count) in rows)
        {
            parts.Add(
                (
                    new Parameter($"{module}.lora_magnitude_vector", [count], Type, device, decays: false)
                    {
                        Trainable = true,
                        Value = values.narrow(0, first, count),
                    },
                    first
                )
            );
        }

        if (rows.Sum(row => row.Count) < linear.OutputWidth)
        {
            using var scope = NewDisposeScope();
            adapted = zeros(linear.OutputWidth, ScalarType.Bool, device).DetachFromDisposeScope();
            foreach (var (_, first, count) in rows)
            {
                adapted.narrow(0, first, count).FillInPlace(true);
            }
        }
    }

    /// <summary>float32, or float64 for a float64 model.</summary>
    public ScalarType Type { get; }

    /// <summary>Magnitudes of each range of rows.</summary>
    public IReadOnlyList<Parameter> Parameters => [.. parts.Select(part => part.Parameter)];

    /// <summary>Norms of the rows of W + delta, [out], in the caller's dispose scope.</summary>
    /// <param name="b">s·B [out, R].</param>
    /// <param name="a">[R, in].</param>
    /// <remarks>|w + b·A|² = |w|² + 2 (w·Aᵀ)·b + b·(A·Aᵀ)·b row by row, so no second matrix of the weight's size is
    /// needed.</remarks>
    public Tensor Lengths(Tensor b, Tensor a)
    {
        using var scope = NewDisposeScope();
        var weight = linear.Weight.Dense;
        // The weight is frozen, so its own part is computed once.
        squares ??= weight.to_type(Type).Square().sum(1).DetachFromDisposeScope();
        var (wideA, wideB) = (a.to_type(Type), b.to_type(Type));
        var cross = (weight.mm(a.t()).to_type(Type) * wideB).sum(1);
        var own = (wideB.mm(wideA.mm(wideA.t())) * wideB).sum(1);
        return squares.Add(cross.Multiply(2)).Add(own).ClampMin(1e-30).sqrt().MoveToOuterDisposeScope();
    }

    /// <summary>Gain of each output row, [out]: m / norm, or 1 for rows without a delta. In the caller's dispose
    /// scope.</summary>
    public Tensor Gains(Tensor lengths)
    {
        using var scope = NewDisposeScope();
        var gains = values / lengths;
        return (adapted is null ? gains : gains.MaskedFill(adapted.logical_not(), 1)).MoveToOuterDisposeScope();
    }

    /// <summary>Sets the magnitudes to the rows' norms, so that they have no effect yet.</summary>
    public void Reset(Tensor lengths)
    {
        using var scope = NewDisposeScope();
        foreach (var (parameter, first) in parts)
        {
            parameter.Value.copy_(lengths.narrow(0, first, parameter.Count));
        }
    }

    /// <summary>Collects the gradients of the magnitudes.</summary>
    /// <param name="gradient">Gradient of the layer's output, [N, out].</param>
    /// <param name="unscaled">The output before the gain was applied, [N, out].</param>
    /// <param name="lengths">Norms of the rows, [out].</param>
    public void Collect(Tensor gradient, Tensor unscaled, Tensor lengths)
    {
        using var scope = NewDisposeScope();
        // Named, because a bare 0 is parsed as an element type.
        var sums = (gradient.to_type(Type) * unscaled).sum(dim: 0) / lengths;
        foreach (var (parameter, first) in parts)
        {
            if (parameter.Trainable)
            {
                parameter.WideGradient().AddInPlace(sums.narrow(0, first, parameter.Count));
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        values.Dispose();
        adapted?.Dispose();
        squares?.Dispose();
        foreach (var (parameter, _) in parts)
        {
            parameter.Dispose();
        }
    }
}
