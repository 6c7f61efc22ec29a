namespace GlmTune.Kernels.Definitions;

/// <summary>How a fused query-key-value row is cut into heads.</summary>
/// <param name="QueryHeads">H.</param>
/// <param name="KeyValueHeads">K; divides H. Query head h reads key-value head h / (H / K).</param>
/// <param name="HeadDim">D, features a head.</param>
/// <param name="RotaryDim">How many of a head's first features rotate; even.</param>
/// <remarks>A row is H query heads, then K key heads, then K value heads, each of D features: (H + 2K)·D in
/// all.</remarks>
public sealed record HeadLayout(int QueryHeads, int KeyValueHeads, int HeadDim, int RotaryDim)
{
    /// <summary>Query heads that share one key-value head.</summary>
    public int GroupSize => QueryHeads / KeyValueHeads;

    /// <summary>Features of all query heads, H·D.</summary>
    public int QueryWidth => QueryHeads * HeadDim;

    /// <summary>Features of all key heads, K·D.</summary>
    public int KeyValueWidth => KeyValueHeads * HeadDim;

    /// <summary>Features of a fused row, (H + 2K)·D.</summary>
    public int FusedWidth => QueryWidth + (2 * KeyValueWidth);
}
