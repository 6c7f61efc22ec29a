using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>Difference between the logits of a merged model and those with the adapter attached.</summary>
/// <param name="Difference">‖merged − attached‖ / ‖attached‖ for the logits of a probe.</param>
/// <param name="Noise">How much the attached model's own logits change, in the same measure, when computed differently:
/// the effect of rounding alone on this model in this type.</param>
public sealed record MergeAgreement(double Difference, double Noise)
{
    /// <summary>The largest difference that rounding explains.</summary>
    internal double Tolerance { get; init; }

    /// <summary>Whether rounding explains the difference.</summary>
    public bool IsRounding => Difference <= Tolerance;
}

/// <summary>Compares a model before and after its adapter is merged.</summary>
internal sealed class MergeProbe
{
    private const int Tokens = 64;

    // Merging rounds the weights of every adapted layer once; the other ways of computing do not.
    private const double NoiseFactor = 8;
    private const double MinUnits = 16;

    private readonly DecoderModel model;
    private readonly int[] ids;
    private readonly Tensor attached;
    private readonly double noise;

    /// <summary>Computes the logits with the adapter attached.</summary>
    /// <param name="model">The model; tensors are created in the caller's dispose scope.</param>
    public MergeProbe(DecoderModel model)
    {
        this.model = model;
        // The same tokens every time, from all over the vocabulary.
        ids = [.. Enumerable.Range(1, Tokens).Select(i => (int)(i * 7919L % model.Config.VocabularySize))];
        attached = Whole();
        noise = Math.Max(Distance(InTwoPasses()), Distance(FromNeighbours()) * Math.Sqrt(model.Config.LayerCount));
    }

    /// <summary>Compares with the current state of the model.</summary>
    public MergeAgreement Compare() =>
        new(Distance(Whole()), noise) { Tolerance = Math.Max(NoiseFactor * noise, MinUnits * Unit(model.Type)) };

    /// <summary>Relative rounding error of a type.</summary>
    internal static double Unit(ScalarType type) =>
        type switch
        {
            ScalarType.BFloat16 => Math.Pow(2, -8),
            ScalarType.Float16 => Math.Pow(2, -11),
            ScalarType.Float64 => Math.Pow(2, -53),
            _ => Math.Pow(2, -24),
        };

    private double Distance(Tensor logits)
    {
        using var scope = NewDisposeScope();
        return ((logits - attached).norm() / attached.norm()).item<double>();
    }

    private Tensor Whole() =>
        model.Logits(ids, SequenceLayout.OfRows(1, Tokens, model.Device)).to_type(ScalarType.Float64);

    // Through the KV cache, half of the tokens at a time: other shapes give other orders of summation.
    private Tensor InTwoPasses()
    {
        using var cache = model.NewCache(slots: 1, capacity: Tokens);
        Tensor Half(int from) =>
            model
                .Logits(
                    ids[from..(from + (Tokens / 2))],
                    SequenceLayout.OfRows(1, Tokens / 2, model.Device),
                    new CacheStep(cache, [0], [from], [Tokens / 2])
                )
                .to_type(ScalarType.Float64);
        var first = Half(0);
        return cat([first, Half(Tokens / 2)]);
    }

    // With every embedding value moved by one unit in the last place, alternately up and down: how much the layers
    // amplify a single rounding.
    private Tensor FromNeighbours()
    {
        using var scope = NewDisposeScope();
        var table = model.Embedding.Weight.Value;
        var index = tensor(Array.ConvertAll(ids, id => (long)id).Distinct().ToArray(), ScalarType.Int64, table.device);
        var rows = table.index_select(0, index);
        var signs = TensorCreation
            .Range(rows.numel(), ScalarType.Float32, table.device)
            .Remainder(2)
            .Multiply(2)
            .Add(-1)
            .view(rows.shape);
        try
        {
            var moved =
                rows.to_type(ScalarType.Float64)
                * signs.to_type(ScalarType.Float64).Multiply(2 * Unit(model.Type)).Add(1);
            table.index_copy_(0, index, moved.to_type(table.dtype));
            return Whole().MoveToOuterDisposeScope();
        }
        finally
        {
            table.index_copy_(0, index, rows);
        }
    }
}
