using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Output rows of a linear layer that one low-rank product changes.</summary>
/// <param name="FirstRow">Index of the first.</param>
/// <param name="Rows">Their number.</param>
/// <param name="Rank">The rank, padded with zeros to a multiple of <see cref="MixedLowRank.RankStep"/>.</param>
internal readonly record struct LowRankPart(long FirstRow, long Rows, int Rank);

/// <summary>The low-rank matrices of one adapter on one linear layer. The tensors are not owned.</summary>
/// <param name="A">A of all parts, [Σr, in], contiguous.</param>
/// <param name="B">B of the parts, [rows, r] each, one after another in a flat tensor.</param>
/// <param name="Scales">The scale of each row of A, [Σr], float32 or wider.</param>
/// <param name="Parts">At most <see cref="MixedLowRank.MaxParts"/>.</param>
internal sealed record LowRankFactors(Tensor A, Tensor B, Tensor Scales, IReadOnlyList<LowRankPart> Parts)
{
    /// <summary>Number of rows of A.</summary>
    public int Columns => Parts.Sum(part => part.Rank);

    /// <summary>Each part with the index of its first row of A, and its B as a view, [rows, r].</summary>
    public IEnumerable<(LowRankPart Part, int Column, Tensor B)> Split()
    {
        var (column, offset) = (0, 0L);
        foreach (var part in Parts)
        {
            yield return (part, column, B.narrow(0, offset, part.Rows * part.Rank).view(part.Rows, part.Rank));
            column += part.Rank;
            offset += part.Rows * part.Rank;
        }
    }
}

/// <summary>The low-rank adapters of one linear layer, of which each row of a pass uses its own.</summary>
/// <remarks>A table on the device says where the matrices of each adapter are. It stays at its address, so a captured
/// pass finds other adapters there when it is replayed. Row 0 is that of rows without an adapter.</remarks>
/// <param name="rows">Number of rows of the table.</param>
/// <param name="device">Device of the layer.</param>
internal sealed class MixedLowRank(int rows, Device device) : IDisposable
{
    /// <summary>What ranks are padded to a multiple of.</summary>
    public const int RankStep = 8;

    /// <summary>Most parts of an adapter.</summary>
    public const int MaxParts = 5;

    // mixed_low_rank.cu: words of an entry, and index of the first part's.
    private const int EntryWords = 20;
    private const int FirstPart = 5;

    private readonly LowRankFactors?[] factors = new LowRankFactors?[rows];

    /// <summary>For the kernels, int64 [rows, 20].</summary>
    public Tensor Table { get; } = zeros([rows, EntryWords], ScalarType.Int64, device).DetachFromDisposeScope();

    /// <summary>Largest Σr of an adapter so far; a multiple of <see cref="RankStep"/>.</summary>
    public int Columns { get; private set; } = RankStep;

    /// <summary>The matrices in a row of the table; null: none.</summary>
    public LowRankFactors? this[int row] => factors[row];

    /// <summary>Makes room for adapters with this Σr.</summary>
    public void Widen(int columns) => Columns = Math.Max(Columns, columns);

    /// <summary>Replaces a row of the table, in stream order.</summary>
    /// <param name="row">From 1.</param>
    /// <param name="replacement">Matrices on the table's device; they must live until the row is replaced. Null:
    /// none.</param>
    public void Set(int row, LowRankFactors? replacement)
    {
        using var scope = NewDisposeScope();
        factors[row] = replacement;
        var entry = Table.select(0, row);
        if (replacement is null)
        {
            entry.zero_();
            return;
        }

        var words = new long[EntryWords];
        Widen(replacement.Columns);
        words[0] = TensorAddress.Of(replacement.A);
        words[1] = TensorAddress.Of(replacement.B);
        words[2] = TensorAddress.Of(replacement.Scales);
        words[3] = replacement.Columns;
        words[4] = replacement.Parts.Count;
        var (column, offset) = (0L, 0L);
        foreach (var (i, part) in replacement.Parts.Index())
        {
            words[FirstPart + (3 * i)] = part.FirstRow | (part.Rows << 32);
            words[FirstPart + (3 * i) + 1] = column | ((long)part.Rank << 32);
            words[FirstPart + (3 * i) + 2] = offset;
            column += part.Rank;
            offset += part.Rows * part.Rank;
        }

        entry.copy_(HostValues.ToDevice(words, Table.device));
    }

    /// <inheritdoc/>
    public void Dispose() => Table.Dispose();
}
