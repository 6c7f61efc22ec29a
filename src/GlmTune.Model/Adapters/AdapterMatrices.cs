using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>The low-rank matrices of a served adapter on all layers, in host memory and, while it is used, on the
/// device: one block of each type, so that one copy brings them there.</summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class AdapterMatrices : IDisposable
{
    /// <summary>The matrices on one layer, while they are on the device.</summary>
    /// <param name="Weight">Name of the layer's weight.</param>
    /// <param name="Factors">A, B and scales.</param>
    /// <param name="Gains">DoRA's gain of each output, [out]; null without DoRA.</param>
    public sealed record OnLayer(string Weight, LowRankFactors Factors, Tensor? Gains);

    // Where the matrices of a layer begin in the blocks, in elements; negative without gains.
    private sealed record Place(
        string Weight,
        string Device,
        long Width,
        long Outputs,
        LowRankPart[] Parts,
        long A,
        long Scales,
        long Gains
    )
    {
        public long Columns => Parts.Sum(part => part.Rank);

        public long B => A + (Columns * Width);
    }

    private sealed record Block(Device Device, Tensor Weights, Tensor Scales);

    private readonly List<Place> places = [];
    private readonly Dictionary<string, Block> host = []; // By device.
    private readonly List<Tensor> there = []; // Blocks on devices, and views into them.

    /// <param name="layers">The adapter on each layer, in any order; copied.</param>
    /// <param name="type">Type that the model computes in.</param>
    /// <param name="deviceOf">Device of the layer with a weight of this name.</param>
    public AdapterMatrices(IReadOnlyList<LowRankAdapter> layers, ScalarType type, Func<string, Device> deviceOf)
    {
        using var scope = NewDisposeScope();
        foreach (var group in layers.GroupBy(layer => deviceOf(layer.Linear.Weight.Name).ToString()))
        {
            var device = deviceOf(group.First().Linear.Weight.Name);
            var (weights, scales) = (new List<Tensor>(), new List<Tensor>());
            var (nextWeight, nextScale) = (0L, 0L);
            foreach (var layer in group)
            {
                var parts = layer.Deltas.Select(delta => new LowRankPart(
                    delta.FirstRow,
                    delta.Rows,
                    RoundUp(delta.LoraRank)
                ));
                var gains = layer.OutputGains();
                var place = new Place(
                    layer.Linear.Weight.Name,
                    group.Key,
                    layer.Linear.InputWidth,
                    layer.Linear.OutputWidth,
                    [.. parts],
                    nextWeight,
                    nextScale,
                    Gains: -1
                );
                places.Add(gains is null ? place : place with { Gains = nextScale + place.Columns });
                weights.AddRange(layer.Deltas.Select(delta => Padded(delta.A.Value, 0)));
                weights.AddRange(layer.Deltas.Select(delta => Padded(delta.B.Value, 1)));
                scales.AddRange(
                    layer.Deltas.Select(delta =>
                        TensorCreation.Full([RoundUp(delta.LoraRank)], delta.Scale, ScalarType.Float64)
                    )
                );
                if (gains is not null)
                {
                    scales.Add(gains.to_type(ScalarType.Float64).cpu());
                }

                nextWeight = place.B + place.Parts.Sum(part => part.Rows * part.Rank);
                nextScale += place.Columns + (gains is null ? 0 : place.Outputs);
            }

            host[group.Key] = new Block(
                device,
                cat(weights).to_type(type),
                cat(scales).to_type(type == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32)
            );
        }

        foreach (var block in host.Values)
        {
            block.Weights.DetachFromDisposeScope();
            block.Scales.DetachFromDisposeScope();
        }
    }

    /// <summary>The matrices on each layer; empty while they are not on the device.</summary>
    public IReadOnlyList<OnLayer> There { get; private set; } = [];

    /// <summary>The layers that it changes: name of the weight, Σr as padded, and whether there are gains.</summary>
    public IEnumerable<(string Weight, int Columns, bool Gains)> Layers =>
        places.Select(place => (place.Weight, (int)place.Columns, place.Gains >= 0));

    /// <summary>Brings them to the device.</summary>
    public void BringIn()
    {
        using var scope = NewDisposeScope();
        var blocks = new Dictionary<string, (Tensor Weights, Tensor Scales)>();
        foreach (var (name, block) in host)
        {
            blocks[name] = (Kept(block.Weights.to(block.Device).alias()), Kept(block.Scales.to(block.Device).alias()));
        }

        There = [.. places.Select(place => View(place, blocks[place.Device]))];
    }

    /// <summary>Frees the device's memory.</summary>
    public void Leave()
    {
        There = [];
        there.ForEach(tensor => tensor.Dispose());
        there.Clear();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Leave();
        foreach (var block in host.Values)
        {
            block.Weights.Dispose();
            block.Scales.Dispose();
        }

        host.Clear();
    }

    private OnLayer View(Place place, (Tensor Weights, Tensor Scales) block)
    {
        var a = block.Weights.narrow(0, place.A, place.Columns * place.Width).view(place.Columns, place.Width);
        var b = block.Weights.narrow(0, place.B, place.Parts.Sum(part => part.Rows * part.Rank));
        var scales = block.Scales.narrow(0, place.Scales, place.Columns);
        return new(
            place.Weight,
            new LowRankFactors(Kept(a), Kept(b), Kept(scales), place.Parts),
            place.Gains < 0 ? null : Kept(block.Scales.narrow(0, place.Gains, place.Outputs))
        );
    }

    private Tensor Kept(Tensor tensor)
    {
        there.Add(tensor.DetachFromDisposeScope());
        return tensor;
    }

    private static int RoundUp(int rank) =>
        (rank + MixedLowRank.RankStep - 1) / MixedLowRank.RankStep * MixedLowRank.RankStep;

    // Flat, with zeros up to a whole step of the rank, in host memory.
    private static Tensor Padded(Tensor matrix, int rankAxis)
    {
        var rank = (int)matrix.shape[rankAxis];
        var missing = RoundUp(rank) - rank;
        if (missing == 0)
        {
            return matrix.cpu().contiguous().view(-1);
        }

        long[] shape = [.. matrix.shape];
        shape[rankAxis] = missing;
        return cat([matrix.cpu(), zeros(shape, matrix.dtype)], rankAxis).contiguous().view(-1);
    }
}
