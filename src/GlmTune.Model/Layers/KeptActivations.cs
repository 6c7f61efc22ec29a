using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>What the decoder layers of one forward pass leave for the backward pass.</summary>
/// <remarks>
/// A layer below <paramref name="lowest"/> leaves nothing; one below <paramref name="recomputed"/> leaves its input, to
/// run again; any other leaves a tape. Source: Chen et al., Training Deep Nets with Sublinear Memory Cost,
/// arXiv:1604.06174. </remarks>
/// <param name="layers">Decoder layers.</param>
/// <param name="lowest">The first layer with a backward pass.</param>
/// <param name="recomputed">Layers that are recomputed, counted from the first.</param>
/// <param name="selectivelyRecomputed">Further layers of which only norms and SwiGLU are recomputed.</param>
public sealed class KeptActivations(int layers, int lowest, int recomputed, int selectivelyRecomputed) : IDisposable
{
    private readonly IDisposable?[] kept = new IDisposable?[layers];

    /// <summary>The tape that a layer's forward pass writes; null: it writes none.</summary>
    /// <param name="layer">From 0.</param>
    /// <param name="input">What goes into the layer, [N, C].</param>
    internal Tape? Begin(int layer, Tensor input)
    {
        if (layer < lowest)
        {
            return null;
        }

        if (layer < recomputed)
        {
            kept[layer] = input.alias().DetachFromDisposeScope();
            return null;
        }

        var tape = new Tape { RecomputesSelectively = layer < recomputed + selectivelyRecomputed };
        kept[layer] = tape;
        return tape;
    }

    /// <summary>The tape of a layer's backward pass, computed again where only the input was kept; the caller disposes
    /// it.</summary>
    /// <param name="layer">At least the lowest; once.</param>
    /// <param name="context">The pass.</param>
    public Tape Take(DecoderLayer layer, LayerContext context)
    {
        var left = kept[layer.Number];
        kept[layer.Number] = null;
        if (left is Tape whole)
        {
            return whole;
        }

        using var input = (Tensor)left!;
        var tape = new Tape();
        layer.Recompute(input, context, tape);
        return tape;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var left in kept)
        {
            left?.Dispose();
        }
    }
}
