using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>One delta of a <see cref="LowRankAdapter"/>, for some output rows of a linear layer, under its name in
/// checkpoints.</summary>
/// <param name="Module">Name of the adapted module, without ".weight".</param>
/// <param name="FirstRow">Index of the first output row.</param>
/// <param name="Rows">Number of output rows.</param>
/// <param name="Scale">The scale s: alpha / r, or alpha / √r.</param>
/// <param name="A">[r, in].</param>
/// <param name="B">[rows, r].</param>
/// <param name="Magnitude">DoRA's magnitude of each row, [rows]; null without DoRA.</param>
internal sealed record LowRankDelta(
    string Module,
    long FirstRow,
    long Rows,
    double Scale,
    Parameter A,
    Parameter B,
    Parameter? Magnitude
)
{
    /// <summary>The rank, r.</summary>
    public int LoraRank => (int)A.Shape[0];
}

/// <summary>LoRA on one linear layer: y += s · B (A dropout(x)), for one or more ranges of its output rows; or
/// DoRA.</summary>
/// <remarks>The deltas of a layer (q, k and v of the fused projection) share two matrices: all A stacked, and all B as
/// a block-diagonal matrix, so that they cost one pair of matrix products; their parameters are views into these. They
/// share one dropout mask, like the single delta of a fused layer. With DoRA, with row gains g and x' = dropout(x), y =
/// W x + (g − 1) W x' + g · s · B (A x'). Source: Hu et al., LoRA, arXiv:2106.09685, section 4.1; for DoRA see
/// <see cref="RowMagnitudes"/>.</remarks>
internal sealed class LowRankAdapter : LinearAdapter, IDisposable
{
    private readonly Tensor stackedA;
    private readonly Tensor blockB;
    private readonly Tensor? columnScales;
    private readonly double scale;
    private readonly Linear linear;
    private readonly RowMagnitudes? magnitudes;

    /// <param name="linear">The layer to adapt.</param>
    /// <param name="parts">The rows with their ranks and scales.</param>
    /// <param name="dropout">Probability of zeroing an input.</param>
    /// <param name="dora">Whether the magnitudes of the rows are also trained.</param>
    public LowRankAdapter(
        Linear linear,
        IReadOnlyList<(LinearSlice Slice, int Rank, double Scale)> parts,
        double dropout,
        bool dora = false
    )
    {
        using var scope = NewDisposeScope(); // for temporary views: each would keep its memory alive
        this.linear = linear;
        magnitudes = dora
            ? new RowMagnitudes(
                linear,
                [.. parts.Select(part => (part.Slice.Name, part.Slice.FirstRow, part.Slice.Rows))]
            )
            : null;
        Dropout = dropout;
        var (type, device) = (linear.Weight.Type, linear.Weight.Device);
        var ranks = parts.Sum(part => part.Rank);
        stackedA = zeros(ranks, linear.InputWidth, type, device).DetachFromDisposeScope();
        blockB = zeros(linear.OutputWidth, ranks, type, device).DetachFromDisposeScope();
        var deltas = new List<LowRankDelta>();
        var column = 0;
        foreach (var (slice, rank, scale) in parts)
        {
            var a = new Parameter($"{slice.Name}.lora_A.weight", [rank, linear.InputWidth], type, device, decays: true)
            {
                Trainable = true,
            };
            var b = new Parameter($"{slice.Name}.lora_B.weight", [slice.Rows, rank], type, device, decays: true)
            {
                Trainable = true,
            };
            a.Value = stackedA.narrow(0, column, rank);
            b.Value = blockB.narrow(0, slice.FirstRow, slice.Rows).narrow(1, column, rank);
            deltas.Add(
                new LowRankDelta(
                    slice.Name,
                    slice.FirstRow,
                    slice.Rows,
                    scale,
                    a,
                    b,
                    magnitudes?.Parameters[deltas.Count]
                )
            );
            column += rank;
        }

        Deltas = deltas;
        scale = parts[0].Scale;
        if (parts.Any(part => part.Scale != scale))
        {
            columnScales = tensor(parts.SelectMany(part => Enumerable.Repeat(part.Scale, part.Rank)).ToArray())
                .to_type(type)
                .to(device)
                .DetachFromDisposeScope();
        }
    }

    /// <summary>The deltas in the order of their rows.</summary>
    public IReadOnlyList<LowRankDelta> Deltas { get; }

    /// <summary>Probability of zeroing an input.</summary>
    public double Dropout { get; }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters =>
        Deltas.SelectMany(delta => new[] { delta.A, delta.B, delta.Magnitude }).OfType<Parameter>();

    /// <inheritdoc/>
    public override bool ScalesOutput => magnitudes is not null;

    /// <summary>The layer that it was created for.</summary>
    internal Linear Linear => linear;

    /// <summary>A of all deltas, [Σr, in]; owned by the adapter.</summary>
    internal Tensor StackedA => stackedA;

    /// <summary>B of all deltas, block-diagonal, [out, Σr]; owned by the adapter.</summary>
    internal Tensor BlockB => blockB;

    /// <summary>Scale of each column of the low-rank product, [Σr].</summary>
    internal double[] ColumnScales() => [.. Deltas.SelectMany(delta => Enumerable.Repeat(delta.Scale, delta.LoraRank))];

    /// <summary>DoRA's gain of each output, [out], float32 or wider, in the caller's dispose scope; null without
    /// DoRA.</summary>
    internal Tensor? OutputGains()
    {
        if (magnitudes is null)
        {
            return null;
        }

        using var scope = NewDisposeScope();
        return magnitudes.Gains(Lengths(magnitudes)).MoveToOuterDisposeScope();
    }

    /// <summary>s · B · A in float32 or wider, [out, in]: what LoRA adds to the weight. In the caller's dispose
    /// scope.</summary>
    public Tensor WeightDelta()
    {
        using var scope = NewDisposeScope();
        var wide = stackedA.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32;
        return Scaled(blockB.to_type(wide)).mm(stackedA.to_type(wide)).MoveToOuterDisposeScope();
    }

    /// <summary>The merged weight, equivalent to the layer with this adapter, computed in float32 or wider, [out, in],
    /// in the caller's dispose scope.</summary>
    public Tensor MergedWeight()
    {
        using var scope = NewDisposeScope();
        var merged = WeightDelta();
        merged.AddInPlace(linear.Weight.Dense);
        if (magnitudes is not null)
        {
            merged.mul_(magnitudes.Gains(Lengths(magnitudes)).unsqueeze(1));
        }

        return merged.MoveToOuterDisposeScope();
    }

    /// <summary>Initializes DoRA's magnitudes so that they have no effect yet; the layer's weight must be in
    /// memory.</summary>
    public void ResetMagnitudes()
    {
        if (magnitudes is not null)
        {
            using var scope = NewDisposeScope();
            magnitudes.Reset(Lengths(magnitudes));
        }
    }

    /// <inheritdoc/>
    public override void Forward(Linear linear, Tensor x, Tensor y, LayerContext context, Tape? tape)
    {
        using var scope = NewDisposeScope();
        var low = context.Kernels.LowRankDown(x, stackedA, ProbabilityIn(context), context.SeedOf(linear));
        tape?.Save(low);
        if (magnitudes is null)
        {
            AddUp(y, low);
            return;
        }

        var gains = magnitudes.Gains(Lengths(magnitudes));
        if (ProbabilityIn(context) > 0)
        {
            var plain = Dropped(linear, x, context).mm(linear.Weight.Dense.t());
            var unscaled = plain.clone();
            AddUp(unscaled, low);
            tape?.Save(unscaled);
            y.AddInPlace((unscaled * gains).sub_(plain));
        }
        else
        {
            AddUp(y, low);
            tape?.Save(y.clone());
            y.mul_(gains);
        }
    }

    /// <inheritdoc/>
    public override bool CanDecode => magnitudes is null;

    /// <inheritdoc/>
    public override void Decode(Tensor x, Tensor y, LayerContext context)
    {
        using var scope = NewDisposeScope();
        var low = context.Kernels.Project(x, stackedA);
        var factor = columnScales is null ? (float)scale : 1;
        if (columnScales is not null)
        {
            low.mul_(columnScales);
        }
        else if (factor != scale)
        {
            low.MultiplyInPlace(scale);
            factor = 1;
        }

        y.addmm_(low, blockB.t(), 1, factor);
    }

    /// <inheritdoc/>
    public override void Backward(
        Linear linear,
        Tensor gradient,
        Tensor x,
        Tensor? inputGradient,
        LayerContext context,
        Tape tape
    )
    {
        using var scope = NewDisposeScope();
        if (magnitudes is not null)
        {
            using var unscaled = tape.TakeTensor();
            var lengths = Lengths(magnitudes);
            magnitudes.Collect(gradient, unscaled, lengths);
            var scaled = (gradient * magnitudes.Gains(lengths)).to_type(gradient.dtype);
            if (inputGradient is not null)
            {
                // The input already has the gradient of the output's base part, without the gain.
                var basePart = (scaled - gradient).mm(linear.Weight.Dense);
                var probability = ProbabilityIn(context);
                inputGradient.AddInPlace(
                    probability > 0 ? context.Kernels.Dropout(basePart, probability, context.SeedOf(linear)) : basePart
                );
            }

            gradient = scaled;
        }

        using var low = tape.TakeTensor();
        var lowGradient = ScaleColumns(gradient.mm(blockB));
        var trained = Deltas.Any(delta => delta.A.Trainable);
        var gradientA = trained
            ? zeros(
                stackedA.shape,
                stackedA.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32,
                stackedA.device
            )
            : null;
        context.Kernels.LowRankDownBackward(
            lowGradient,
            x,
            stackedA,
            ProbabilityIn(context),
            context.SeedOf(linear),
            inputGradient,
            gradientA
        );
        if (gradientA is null)
        {
            return;
        }

        var gradientB = ScaleColumns(gradient.t().mm(low));
        var column = 0;
        foreach (var delta in Deltas)
        {
            if (delta.A.Trainable)
            {
                delta.A.AddGradient(gradientA.narrow(0, column, delta.LoraRank));
                delta.B.AddGradient(gradientB.narrow(0, delta.FirstRow, delta.Rows).narrow(1, column, delta.LoraRank));
            }

            column += delta.LoraRank;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        stackedA.Dispose();
        blockB.Dispose();
        columnScales?.Dispose();
        magnitudes?.Dispose();
        foreach (var parameter in Parameters)
        {
            parameter.Dispose();
        }
    }

    private Tensor Lengths(RowMagnitudes of) => of.Lengths(Scaled(blockB), stackedA);

    private double ProbabilityIn(LayerContext context) => context.Drops ? Dropout : 0;

    private Tensor Dropped(Linear linear, Tensor x, LayerContext context) =>
        context.Kernels.Dropout(x, ProbabilityIn(context), context.SeedOf(linear));

    // y += s · low · Bᵀ. A scale that float32 represents exactly is applied within the product.
    private void AddUp(Tensor y, Tensor low)
    {
        var inside = columnScales is null && (float)scale == scale;
        y.addmm_(inside ? low : Scaled(low), blockB.t(), 1, inside ? (float)scale : 1);
    }

    // Scales the columns of each delta.
    private Tensor Scaled(Tensor columns) =>
        columnScales is null ? columns.Multiply(scale) : columns * columnScales.to_type(columns.dtype);

    // The same in place, for a result that belongs to the caller alone.
    private Tensor ScaleColumns(Tensor columns) =>
        columnScales is null ? columns.MultiplyInPlace(scale) : columns.mul_(columnScales.to_type(columns.dtype));
}
