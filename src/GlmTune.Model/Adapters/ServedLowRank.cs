using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Low-rank deltas of several adapters on one linear layer, each applied to its own rows of a pass.</summary>
/// <remarks>A row's output begins with its adapter's delta and the bias, and the product with the weight is added to
/// that; so the weight is multiplied once for all rows, and only the matrices of adapters that rows use are read. With
/// DoRA, the sum without the bias is then multiplied by the row's gains. For inference: there is no backward pass.
/// Sources: Hu et al., LoRA, arXiv:2106.09685, section 4.1; Chen et al., Punica, arXiv:2310.18547, section 2, for many
/// adapters in one batch.</remarks>
/// <param name="linear">The layer.</param>
/// <param name="rows">Rows of its table: one for each adapter on the device, and row 0 for the base model.</param>
internal sealed class ServedLowRank(Linear linear, int rows) : LinearAdapter, IDisposable
{
    private Tensor? gains;

    /// <summary>The adapters' matrices.</summary>
    public MixedLowRank Matrices { get; } = new(rows, linear.Weight.Device);

    /// <summary>Number of loaded adapters that change this layer.</summary>
    public int Users { get; set; }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters => [];

    /// <inheritdoc/>
    public override bool ScalesOutput => gains is not null;

    /// <inheritdoc/>
    public override bool CanDecode => true;

    /// <summary>Makes room for an adapter.</summary>
    /// <param name="columns">Its Σr.</param>
    /// <param name="scaled">Whether it has gains.</param>
    /// <returns>Whether captured passes are no longer valid.</returns>
    public bool MakeRoom(int columns, bool scaled)
    {
        var widens = columns > Matrices.Columns;
        Matrices.Widen(columns);
        if (!scaled || gains is not null)
        {
            return widens;
        }

        var type = linear.Weight.Type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        gains = ones(rows, linear.OutputWidth, type, linear.Weight.Device).DetachFromDisposeScope();
        return true;
    }

    /// <summary>Replaces a row of the table, in stream order.</summary>
    /// <param name="row">From 1.</param>
    /// <param name="factors">The adapter's matrices; null: none.</param>
    /// <param name="scales">DoRA's gains, [out]; null: none.</param>
    public void Set(int row, LowRankFactors? factors, Tensor? scales)
    {
        using var scope = NewDisposeScope();
        Matrices.Set(row, factors);
        if (gains?.select(0, row) is { } own)
        {
            _ = scales is null ? own.FillInPlace(1) : own.copy_(scales);
        }
    }

    /// <inheritdoc/>
    public override bool AppliesTo(LayerContext context) => context.Adapters is not null;

    /// <inheritdoc/>
    public override void Forward(Linear linear, Tensor x, Tensor y, LayerContext context, Tape? tape)
    {
        if (context.Adapters is not { } used)
        {
            return;
        }

        using var scope = NewDisposeScope();
        y.AddInPlace(context.Kernels.MixedLowRank(x, used, Matrices, linear.OutputWidth));
        if (gains is not null)
        {
            y.mul_(gains.index_select(0, used.Index));
        }
    }

    /// <inheritdoc/>
    public override Tensor? BeginOutput(Tensor x, LayerContext context) =>
        context.Adapters is { } used
            ? context.Kernels.MixedLowRank(
                x,
                used,
                Matrices,
                linear.OutputWidth,
                gains is null ? linear.Bias?.Value : null
            )
            : null;

    /// <inheritdoc/>
    public override void EndOutput(Tensor y, LayerContext context)
    {
        if (gains is null)
        {
            return;
        }

        using var scope = NewDisposeScope();
        y.mul_(context.Kernels.SelectRows(gains, context.Adapters!.Index));
        if (linear.Bias is { } bias)
        {
            y.AddInPlace(bias.Value);
        }
    }

    /// <inheritdoc/>
    public override void Decode(Tensor x, Tensor y, LayerContext context)
    {
        // Rows that have an adapter go through BeginOutput.
    }

    /// <inheritdoc/>
    public override void Backward(
        Linear linear,
        Tensor gradient,
        Tensor x,
        Tensor? inputGradient,
        LayerContext context,
        Tape tape
    ) => throw new NotSupportedException("Served adapters cannot be trained; attach one with AdapterFolder.Load.");

    /// <inheritdoc/>
    public void Dispose()
    {
        Matrices.Dispose();
        gains?.Dispose();
        gains = null;
    }
}
