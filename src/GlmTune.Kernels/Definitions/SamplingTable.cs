using System.Runtime.InteropServices;

namespace GlmTune.Kernels.Definitions;

/// <summary>How the next tokens of some rows are chosen: their rules, edits and masks.</summary>
internal sealed class SamplingTable
{
    private readonly List<SamplingRow> rows = [];
    private readonly List<ScoreEdit> edits = [];
    private readonly List<uint[]> masks = [];

    /// <summary>The rows.</summary>
    public ReadOnlySpan<SamplingRow> Rows => CollectionsMarshal.AsSpan(rows);

    /// <summary>The edits of a row.</summary>
    public ReadOnlySpan<ScoreEdit> EditsOf(in SamplingRow row) =>
        CollectionsMarshal.AsSpan(edits).Slice(row.FirstEdit, row.EditCount);

    /// <summary>The bit set of a row: tokens that are allowed; null: all.</summary>
    public uint[]? MaskOf(in SamplingRow row) => row.Mask < 0 ? null : masks[row.Mask];

    /// <summary>Adds a row.</summary>
    /// <param name="row">The rules, without the places of edits and mask.</param>
    /// <param name="own">Its edits, every token once.</param>
    /// <param name="mask">Bit set of the tokens that are allowed, as long as the others' if there are any; null: all
    /// are.</param>
    public void Add(SamplingRow row, ReadOnlySpan<ScoreEdit> own, uint[]? mask = null)
    {
        (row.FirstEdit, row.EditCount, row.Mask) = (edits.Count, own.Length, -1);
        edits.AddRange(own);
        if (mask is not null)
        {
            row.Mask = masks.Count;
            masks.Add(mask);
        }

        rows.Add(row);
    }

    /// <summary>Adds a row that is equal to an earlier one.</summary>
    public void Repeat(int index) => rows.Add(rows[index]);

    /// <summary>Removes all rows.</summary>
    public void Clear()
    {
        rows.Clear();
        edits.Clear();
        masks.Clear();
    }

    /// <summary>Everything in one array: rows, then edits, then masks, each at a multiple of 16 bytes.</summary>
    /// <returns>The array, the offsets of edits and masks in bytes, and the length of a mask in 32-bit words.</returns>
    public (long[] Words, long Edits, long Masks, int MaskWords) Pack()
    {
        var maskWords = masks.Count > 0 ? (masks[0].Length + 3) / 4 * 4 : 0;
        var editStart = (long)rows.Count * SamplingRow.Bytes;
        var maskStart = editStart + ((long)edits.Count * ScoreEdit.Bytes);
        var words = new long[(maskStart + ((long)masks.Count * maskWords * sizeof(uint))) / sizeof(long)];
        var bytes = MemoryMarshal.AsBytes(words.AsSpan());
        MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(rows)).CopyTo(bytes);
        MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(edits)).CopyTo(bytes[(int)editStart..]);
        for (var i = 0; i < masks.Count; i++)
        {
            MemoryMarshal
                .AsBytes(masks[i].AsSpan())
                .CopyTo(bytes[(int)(maskStart + ((long)i * maskWords * sizeof(uint)))..]);
        }

        return (words, editStart, maskStart, maskWords);
    }
}
