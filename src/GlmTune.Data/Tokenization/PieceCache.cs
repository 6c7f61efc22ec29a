using System.IO.Hashing;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace GlmTune.Data.Tokenization;

/// <summary>Remembers the ids of short pieces. Each has one place, where it replaces what was there before.</summary>
/// <remarks>Entries hold their characters and ids themselves, a cache line each, so neither finding nor adding one
/// allocates. Not thread-safe.</remarks>
internal sealed class PieceCache
{
    private const int Entries = 1 << 13;
    private const int MaxLength = 16;
    private const int MaxIds = 7;

    private readonly Entry[] entries = new Entry[Entries];

    /// <summary>Finds a piece.</summary>
    /// <param name="piece">The piece.</param>
    /// <param name="place">Where to <see cref="Set"/> its ids if it is not found; -1: it is too long.</param>
    /// <returns>Its ids, valid until the next call; empty if it is not found.</returns>
    public ReadOnlySpan<int> Find(ReadOnlySpan<char> piece, out int place)
    {
        if (piece.Length > MaxLength)
        {
            place = -1;
            return [];
        }

        place = (int)XxHash3.HashToUInt64(MemoryMarshal.AsBytes(piece)) & (Entries - 1);
        ref var entry = ref entries[place];
        return entry.Length == piece.Length && piece.SequenceEqual(((ReadOnlySpan<char>)entry.Text)[..piece.Length])
            ? MemoryMarshal.CreateReadOnlySpan(ref Unsafe.As<IdBlock, int>(ref entry.Ids), entry.Count)
            : [];
    }

    /// <summary>Remembers the ids of a piece, unless it has too many.</summary>
    /// <param name="place">What <see cref="Find"/> returned for the piece; not -1.</param>
    /// <param name="piece">The piece.</param>
    /// <param name="ids">Its ids; at least one.</param>
    public void Set(int place, ReadOnlySpan<char> piece, ReadOnlySpan<int> ids)
    {
        if (ids.Length > MaxIds)
        {
            return;
        }

        ref var entry = ref entries[place];
        (entry.Length, entry.Count) = ((byte)piece.Length, (byte)ids.Length);
        piece.CopyTo(entry.Text);
        ids.CopyTo(entry.Ids);
    }

    private struct Entry
    {
        public CharacterBlock Text;
        public IdBlock Ids;
        public byte Length;
        public byte Count;
    }

    [InlineArray(MaxLength)]
    private struct CharacterBlock
    {
        private char first;
    }

    [InlineArray(MaxIds)]
    private struct IdBlock
    {
        private int first;
    }
}
