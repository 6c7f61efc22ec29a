using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>What all layers of a pass share.</summary>
/// <remarks>Owns its angles; everything else remains owned by the caller. Not thread-safe.</remarks>
/// <param name="cosine">Cosines of the tokens' angles, float32 [N, rotaryDim / 2]; then owned by the context.</param>
/// <param name="sine">Sines of the tokens' angles, likewise.</param>
internal sealed class LayerContext(Tensor cosine, Tensor sine) : IDisposable
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
    public MixedRows? Adapters { get; set; }

    /// <summary>For captured graphs: the mask keys of all dropout sites, int32 [sites], refilled at each replay; owned
    /// by the caller. Null: the seed is used.</summary>
    public Tensor? StoredMaskKeys { get; init; }

    /// <summary>The part of its tokens that the output head is processing, from 0; each part has its own
    /// masks.</summary>
    /// <remarks>The masks of an adapter on the head (which only recipes that name it have) therefore depend on
    /// <see cref="OutputHead.ChunkRows"/>, and so on free memory: a run resumed elsewhere may draw other masks there.
    /// To derive masks from the row alone, the dropout kernels would have to count elements from the part's first row
    /// instead of 0.</remarks>
    internal int HeadPart { get; set; }

    /// <summary>Most tokens that the feed-forward block processes at a time in a pass of many (more than twice as many)
    /// whose activations are not kept.</summary>
    public int TileTokens { get; init; } = DefaultTileTokens;

    /// <summary>The usual <see cref="TileTokens"/>: enough for the matrix units to run at full speed.</summary>
    public const int DefaultTileTokens = 8192;

    /// <summary>Index of the first token of the tile that is being processed; its dropout masks are those that the
    /// token has in the whole pass.</summary>
    internal long FirstToken { get; set; }

    /// <summary>Whether there is dropout.</summary>
    public bool Drops => DropoutSeed is not null || StoredMaskKeys is not null;

    /// <summary>Seed of a dropout site's mask; the same whenever it is recomputed in this pass.</summary>
    /// <param name="site">Unique number of the site in the model.</param>
    public MaskSeed SeedOf(int site) =>
        StoredMaskKeys is null
            ? SeedOf(DropoutSeed.GetValueOrDefault(), site + HeadPart)
            : new MaskSeed(0, StoredMaskKeys.narrow(0, site + HeadPart, 1));

    /// <summary>Seed of the mask of a linear layer's input, from the first token of the tile.</summary>
    internal MaskSeed SeedOf(Linear linear) =>
        SeedOf(linear.DropoutSite) with
        {
            First = FirstToken * linear.InputWidth,
        };

    /// <summary>Seed of a dropout site's mask in the pass with a given seed.</summary>
    public static long SeedOf(long dropoutSeed, int site) =>
        unchecked((dropoutSeed * 0x5851F42D4C957F2D) + (site * 0x14057B7EF767814F) + 1);

    /// <inheritdoc/>
    public void Dispose()
    {
        Cosine.Dispose();
        Sine.Dispose();
    }
}
