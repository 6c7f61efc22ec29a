using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>What the decoder layers of a forward pass keep for the backward pass.</summary>
/// <remarks>Layers below <paramref name="lowest"/> keep nothing; those below <paramref name="recomputed"/> keep their
/// input, to run again; all others keep a tape. Source: Chen et al., Training Deep Nets with Sublinear Memory Cost,
/// arXiv:1604.06174.</remarks>
/// <param name="layers">The decoder layers.</param>
/// <param name="lowest">Index of the first layer with a backward pass.</param>
/// <param name="recomputed">Number of layers to recompute, counted from the first.</param>
/// <param name="selectivelyRecomputed">Further layers of which only norms and SwiGLU are recomputed.</param>
/// <param name="onHost">Where the inputs of recomputed layers are kept in host memory; null: they stay on the
/// device.</param>
internal sealed class KeptActivations(
    int layers,
    int lowest,
    int recomputed,
    int selectivelyRecomputed,
    OffloadedInputs? onHost = null
) : IDisposable
{
    private readonly IDisposable?[] kept = new IDisposable?[layers];

    /// <summary>Called with a layer's number and its input before the layer runs; null: not called.</summary>
    public Action<int, Tensor>? Entering { get; init; }

    /// <summary>Bytes kept on the device.</summary>
    public long Bytes =>
        kept.Sum(left =>
            left switch
            {
                Tape tape => tape.Bytes,
                Tensor input => input.numel() * input.ElementSize,
                _ => 0,
            }
        ) + (onHost?.DeviceBytes ?? 0);

    /// <summary>The tape for a layer's forward pass; null: none.</summary>
    /// <param name="layer">Index of the layer, from 0.</param>
    /// <param name="input">The layer's input, [N, C].</param>
    internal Tape? Begin(int layer, Tensor input)
    {
        Entering?.Invoke(layer, input);
        if (layer < lowest)
        {
            return null;
        }

        if (layer < recomputed && onHost is not null)
        {
            onHost.Store(layer, input);
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

    /// <summary>The tape for a layer's backward pass, recomputed if only the input was kept; the caller disposes
    /// it.</summary>
    /// <param name="layer">Index of the layer, at least the lowest; each only once.</param>
    /// <param name="context">The context of the pass.</param>
    public Tape Take(DecoderLayer layer, LayerContext context)
    {
        var left = kept[layer.Number];
        kept[layer.Number] = null;
        if (left is Tape whole)
        {
            return whole;
        }

        using var input = (Tensor?)left ?? onHost!.Take(layer.Number);
        var tape = new Tape();
        try
        {
            layer.Recompute(input, context, tape);
            return tape;
        }
        catch
        {
            tape.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var left in kept)
        {
            left?.Dispose();
        }

        onHost?.Forget();
    }
}
