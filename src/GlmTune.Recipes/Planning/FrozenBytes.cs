using GlmTune.Kernels.Definitions;
using GlmTune.Model;

namespace GlmTune.Recipes.Planning;

/// <summary>The memory of weights that are stored in few bits.</summary>
internal static class FrozenBytes
{
    // 4 bits an element, 8 for each block of 64, and 32 for each 256 blocks.
    private const double Nf4Element =
        0.5 + (1.0 / Nf4Matrix.BlockSize) + (4.0 / Nf4Matrix.BlockSize / Nf4Matrix.GroupSize);

    /// <summary>Bytes of a weight in a decoder layer, for each element.</summary>
    /// <param name="config">Configuration of the model, whose files may hold weights in few bits.</param>
    /// <param name="frozen">How it is stored; null: as in the files, or in the type of the computation.</param>
    /// <param name="backward">Whether gradients are computed through it: fp8 then keeps a second, transposed copy, and
    /// takes as much as bfloat16.</param>
    /// <param name="size">Bytes of an element in the type of the computation.</param>
    public static double OfElement(ModelConfig config, FrozenType? frozen, bool backward, long size) =>
        frozen switch
        {
            null when config.Stored is { } stored => stored.BytesPerElement,
            FrozenType.Fp8 => backward ? 2 : 1,
            FrozenType.Nf4 => Nf4Element,
            FrozenType.Int8 => 1,
            _ => size,
        };

    /// <summary>Bytes of all weights of a model, and of the buffers to which a layer's weights are
    /// dequantized.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="frozen">How the weights of the layers are stored; null: in the type of the computation.</param>
    /// <param name="backward">As for <see cref="OfElement"/>.</param>
    /// <param name="size">Bytes of an element in the type of the computation.</param>
    public static long OfModel(ModelConfig config, FrozenType? frozen, bool backward, long size)
    {
        var layers = config.ParametersPerLayer * config.LayerCount;
        return ((config.ParameterCount - layers) * size)
            + (long)(layers * OfElement(config, frozen, backward, size))
            + Buffers(config, frozen, backward, size);
    }

    /// <summary>Bytes of the buffers to which weights are dequantized, one ahead of the other.</summary>
    /// <param name="config">Configuration of the model.</param>
    /// <param name="frozen">How the weights of the layers are stored.</param>
    /// <param name="backward">Whether gradients are computed through them: fp8 is not dequantized for products with
    /// gradients.</param>
    /// <param name="size">Bytes of an element in the type of the computation.</param>
    public static long Buffers(ModelConfig config, FrozenType? frozen, bool backward, long size) =>
        (frozen is null && config.Stored is null) || (frozen == FrozenType.Fp8 && backward)
            ? 0
            : 2 * LargestWeight(config) * size;

    /// <summary>Elements of the largest weight of a layer: gate and up.</summary>
    public static long LargestWeight(ModelConfig config) => 2L * config.FeedForwardSize * config.HiddenSize;
}
