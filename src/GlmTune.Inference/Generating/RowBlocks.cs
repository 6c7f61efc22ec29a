namespace GlmTune.Inference;

/// <summary>A row's place in the cache: its slot and the blocks that hold its tokens.</summary>
internal sealed class RowBlocks
{
    /// <summary>Its slot; −1 while it has none.</summary>
    public int Slot { get; set; } = -1;

    /// <summary>Its blocks in order; those that other rows use as well are full, and not written to.</summary>
    public List<int> Blocks { get; } = [];

    /// <summary>How many of its first blocks are full and recorded, or known from others.</summary>
    public int Known { get; set; }

    /// <summary>The chain of these.</summary>
    public long Chain { get; set; }
}
