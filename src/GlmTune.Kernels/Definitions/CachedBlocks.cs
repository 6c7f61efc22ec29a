using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Cached keys and values of a layer, in blocks of <see cref="Tokens"/> tokens, with tables that say which
/// blocks hold a sequence's tokens.</summary>
/// <param name="Keys">[blocks, 16, K, D].</param>
/// <param name="Values">[blocks, 16, K, D].</param>
/// <param name="Tables">int32 [slots, blocks per slot]: position p of a slot is row p % 16 of block
/// Tables[slot, p / 16]. Entries beyond a slot's tokens are valid numbers of any block.</param>
internal readonly record struct CachedBlocks(Tensor Keys, Tensor Values, Tensor Tables)
{
    /// <summary>Tokens of a block: what a warp of decode attention takes at a time.</summary>
    public const int Tokens = 16;

    /// <summary>Blocks that hold a number of tokens.</summary>
    public static int For(int tokens) => (tokens + Tokens - 1) / Tokens;
}
