namespace GlmTune.Kernels.Definitions;

/// <summary>How a fused query-key-value row is divided into heads.</summary>
/// <param name="QueryHeads">Number of query heads, H.</param>
/// <param name="KeyValueHeads">Number of key-value heads, K; divides H. Query head h uses key-value head h / (H /
/// K).</param>
/// <param name="HeadDim">Features per head, D.</param>
/// <param name="RotaryDim">Number of a head's first features that are rotated; even.</param>
/// <remarks>A row consists of H query heads, then K key heads, then K value heads, each with D features: (H + 2K)·D in
/// total.</remarks>
internal sealed record HeadLayout(int QueryHeads, int KeyValueHeads, int HeadDim, int RotaryDim)
{
    /// <summary>Number of query heads that share one key-value head.</summary>
    public int GroupSize => QueryHeads / KeyValueHeads;

    /// <summary>Features of all query heads, H·D.</summary>
    public int QueryWidth => QueryHeads * HeadDim;

    /// <summary>Features of all key heads, K·D.</summary>
    public int KeyValueWidth => KeyValueHeads * HeadDim;

    /// <summary>Features of a fused row, (H + 2K)·D.</summary>
    public int FusedWidth => QueryWidth + (2 * KeyValueWidth);
}
