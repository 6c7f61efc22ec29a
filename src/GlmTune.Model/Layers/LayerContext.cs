using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>What all layers of a pass share.</summary>
/// <remarks>Owns its angles; everything else remains owned by the caller. Not thread-safe.</remarks>
/// <param name="cosine">Cosines of the tokens' angles, float32 [N, rotaryDim / 2]; then owned by the context.</param>
/// <param name="sine">Sines of the tokens' angles, likewise.</param>
public sealed class LayerContext(Tensor cosine, Tensor sine) : IDisposable
{
    /// <summary>Layer functions of the device.</summary>
    public required LayerKernels Kernels { get; init; }

    /// <summary>Which tokens belong to which sequence.</summary>
    public required SequenceLayout Sequences { get; init; }

    /// <summary>Cosines of the tokens' angles, float32 [N, rotaryDim / 2].</summary>
    public Tensor Cosine { get; } = cosine.DetachFromDisposeScope();

    /// <summary>Sines of the tokens' angles, likewise.</summary>
    public Tensor Sine { get; } = sine.DetachFromDisposeScope();

    /// <summary>Seed of all dropout masks of the pass; null: no dropout (evaluation, inference).</summary>
    public long? DropoutSeed { get; init; }

    /// <summary>Cache with the keys and values of earlier tokens; null: there are no earlier tokens.</summary>
    public CacheStep? Cache { get; init; }

    /// <summary>If the pass contains only some of the tokens of <see cref="Sequences"/>: how attention sees all of
    /// them. Null: it contains all.</summary>
    public AttentionExchange? Exchange { get; init; }

    /// <summary>The served adapter of each token; null: the base model for all, or adapters are attached for all
    /// tokens.</summary>
    public AdapterRows? Adapters { get; set; }

    /// <summary>In captured work: the mask keys of all dropout sites, int32 [sites], filled anew at each replay. Stays
    /// the caller's; null: the seed counts.</summary>
    public Tensor? StoredMaskKeys { get; init; }

    /// <summary>Which part of its tokens the output head is at, from 0: its parts draw masks of their own.</summary>
    /// <remarks>
    /// So masks of an adapter on the head, which only recipes that name it have, depend on
    /// <see cref="OutputHead.ChunkRows"/>, and with it on the memory that was free; a run that goes on elsewhere may
    /// draw others there. Masks that follow from the row alone would need the kernels of dropout to count elements from
    /// the part's first row instead of 0. </remarks>
    internal int HeadPart { get; set; }

    /// <summary>Whether there is dropout.</summary>
    public bool Drops => DropoutSeed is not null || StoredMaskKeys is not null;

    /// <summary>The seed of one dropout site's mask: the same whenever it is computed again in this pass.</summary>
    /// <param name="site">Unique number of the site in the model.</param>
    public MaskSeed SeedOf(int site) =>
        StoredMaskKeys is null
            ? SeedOf(DropoutSeed.GetValueOrDefault(), site + HeadPart)
            : new MaskSeed(0, StoredMaskKeys.narrow(0, site + HeadPart, 1));

    /// <summary>The seed of a dropout site's mask in the pass of a seed.</summary>
    public static long SeedOf(long dropoutSeed, int site) =>
        unchecked((dropoutSeed * 0x5851F42D4C957F2D) + (site * 0x14057B7EF767814F) + 1);

    /// <inheritdoc/>
    public void Dispose()
    {
        Cosine.Dispose();
        Sine.Dispose();
    }
}
