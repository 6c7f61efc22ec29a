using GlmTune.Kernels.Definitions;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Low-rank deltas of several adapters on one linear layer, each applied to its own rows of a pass.</summary>
/// <remarks>All A are stacked, [Σr, in], and all B concatenated, [out, Σr]. y += (x Aᵀ ∘ S) Bᵀ, where a token's row of
/// S [N, Σr] contains its adapter's scale in that adapter's columns and zeros elsewhere: one pair of products for any
/// mix of rows, and other adapters contribute exactly zero. With DoRA, a row's outputs are then multiplied by its
/// adapter's gains. For inference: there is no backward pass. Sources: Hu et al., LoRA, arXiv:2106.09685, section 4.1;
/// Chen et al., Punica, arXiv:2310.18547, section 2, for many adapters in one batch.</remarks>
internal sealed class ServedLowRank(Linear linear) : LinearAdapter, IDisposable
{
    private sealed record Part(ServedAdapter Adapter, double[] Scales, Tensor? Gains);

    private readonly List<Part> parts = [];
    private Tensor? stackedA;
    private Tensor? besideB;
    private Tensor? gains;

    /// <inheritdoc/>
    public override IEnumerable<Parameter> Parameters => [];

    /// <inheritdoc/>
    public override bool ScalesOutput => gains is not null;

    /// <summary>Scales of all adapters, [1 + adapters, Σr], float32 or wider; shared by layers with equal scales. Not
    /// owned.</summary>
    public Tensor? Scales { get; set; }

    /// <summary>Whether no adapter has a delta on this layer.</summary>
    public bool IsEmpty => parts.Count == 0;

    /// <summary>Adds a copy of an adapter's matrices.</summary>
    public void Add(ServedAdapter adapter, LowRankAdapter delta)
    {
        using var scope = NewDisposeScope();
        parts.Add(new Part(adapter, delta.ColumnScales(), delta.OutputGains()?.DetachFromDisposeScope()));
        Replace(ref stackedA, stackedA is null ? delta.StackedA.clone() : cat([stackedA, delta.StackedA], 0));
        Replace(ref besideB, besideB is null ? delta.BlockB.clone() : cat([besideB, delta.BlockB], 1));
    }

    /// <summary>Removes an adapter's columns, if it has any on this layer.</summary>
    public void Remove(ServedAdapter adapter)
    {
        if (parts.FindIndex(part => part.Adapter == adapter) is >= 0 and var gone)
        {
            using var scope = NewDisposeScope();
            var (first, count) = (parts.Take(gone).Sum(part => part.Scales.Length), parts[gone].Scales.Length);
            parts[gone].Gains?.Dispose();
            parts.RemoveAt(gone);
            Replace(ref stackedA, Without(stackedA!, 0, first, count));
            Replace(ref besideB, Without(besideB!, 1, first, count));
        }
    }

    /// <summary>Scales of each adapter, in the columns that it has.</summary>
    /// <param name="adapters">Number of adapters with a row in the tables.</param>
    /// <returns>[1 + adapters, Σr].</returns>
    public double[,] ScaleRows(int adapters)
    {
        var rows = new double[1 + adapters, parts.Sum(part => part.Scales.Length)];
        var column = 0;
        foreach (var part in parts)
        {
            foreach (var scale in part.Scales)
            {
                rows[part.Adapter.TableRow, column++] = scale;
            }
        }

        return rows;
    }

    /// <summary>Creates the table of DoRA's gains, [1 + adapters, out], with ones for adapters without gains; none if
    /// no adapter has any.</summary>
    /// <param name="adapters">Number of adapters with a row in the tables.</param>
    public void MakeGains(int adapters)
    {
        using var scope = NewDisposeScope();
        var scaled = parts.FindAll(part => part.Gains is not null);
        if (scaled.Count == 0)
        {
            Replace(ref gains, null);
            return;
        }

        var table = ones(1 + adapters, linear.OutputWidth, scaled[0].Gains!.dtype, linear.Weight.Device);
        scaled.ForEach(part => table.select(0, part.Adapter.TableRow).copy_(part.Gains!));
        Replace(ref gains, table);
    }

    /// <inheritdoc/>
    public override void Forward(Linear linear, Tensor x, Tensor y, LayerContext context, Tape? tape)
    {
        if (context.Adapters is not { } rows)
        {
            return;
        }

        using var scope = NewDisposeScope();
        var low = x.mm(stackedA!.t());
        y.addmm_(low.mul_(rows.Of(Scales!)), besideB!.t(), 1, 1);
        if (gains is not null)
        {
            y.mul_(gains.index_select(0, rows.Index));
        }
    }

    /// <inheritdoc/>
    public override bool CanDecode => gains is null;

    /// <inheritdoc/>
    public override void Decode(Tensor x, Tensor y, LayerContext context)
    {
        if (context.Adapters is not { } rows)
        {
            return;
        }

        using var scope = NewDisposeScope();
        var low = context.Kernels.Project(x, stackedA!);
        y.addmm_(low.mul_(context.Kernels.SelectRows(Scales!, rows.Index)), besideB!.t(), 1, 1);
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
        stackedA?.Dispose();
        besideB?.Dispose();
        gains?.Dispose();
        parts.ForEach(part => part.Gains?.Dispose());
    }

    private static Tensor? Without(Tensor all, int axis, long first, long count)
    {
        var rest = all.shape[axis] - first - count;
        return first + rest == 0
            ? null
            : cat([all.narrow(axis, 0, first), all.narrow(axis, first + count, rest)], axis);
    }

    private static void Replace(ref Tensor? field, Tensor? value)
    {
        var previous = field;
        field = value?.DetachFromDisposeScope();
        previous?.Dispose();
    }
}
