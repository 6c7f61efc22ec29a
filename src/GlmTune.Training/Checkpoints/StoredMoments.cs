using GlmTune.Kernels.Definitions;
using GlmTune.Model;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Training.Checkpoints;

/// <summary>One of AdamW's moments of a parameter as stored by any number of ranks: numbers of some type, or codes with
/// the largest magnitude of each block.</summary>
/// <param name="pieces">Its pieces: index of the first element in the parameter, the numbers or codes, and the
/// magnitudes.</param>
internal sealed class StoredMoments(IReadOnlyList<(long Start, StoredTensor Values, StoredTensor? Largest)> pieces)
{
    // Numbers at a time, whole blocks.
    private const long Chunk = 1 << 22;

    /// <summary>Name of the stored type, as recipes have it; null: nothing is stored.</summary>
    public string? Type =>
        pieces.Count == 0 ? null
        : pieces[0].Largest is not null ? NameOf(ScalarType.Byte)
        : NameOf(StoredTensors.TypeOf(pieces[0].Values.Type) ?? ScalarType.Float32);

    /// <summary>Name of a type, as recipes have it.</summary>
    public static string NameOf(ScalarType type) =>
        type == ScalarType.Byte ? "int8" : type.ToString().ToLowerInvariant();

    /// <summary>Reads elements [first, first + n), converting them if their type is another.</summary>
    /// <param name="first">Index in the parameter.</param>
    /// <param name="target">Numbers or codes [n].</param>
    /// <param name="largest">With codes: magnitudes of their blocks. Null: numbers.</param>
    /// <param name="signed">Which codes.</param>
    /// <returns>Number of elements that were found.</returns>
    /// <exception cref="InvalidDataException">A stored tensor is damaged.</exception>
    public long Read(long first, Tensor target, Tensor? largest, bool signed)
    {
        foreach (var (_, values, magnitudes) in pieces)
        {
            Check(values, magnitudes);
        }

        var (count, found) = (target.shape[0], 0L);
        var overlaps = pieces
            .Select(piece =>
                (
                    Piece: piece,
                    From: Math.Max(piece.Start, first),
                    To: Math.Min(piece.Start + piece.Values.Shape[0], first + count)
                )
            )
            .Where(overlap => overlap.From < overlap.To)
            .ToList();
        if (largest is null || !overlaps.TrueForAll(overlap => CanKeepCodes(overlap.Piece, overlap.From, first)))
        {
            using var scope = NewDisposeScope();
            var numbers = largest is null ? target : zeros(count, ScalarType.Float32, CPU);
            foreach (var (piece, from, to) in overlaps)
            {
                ReadNumbers(piece, from, numbers.narrow(0, from - first, to - from), signed);
                found += to - from;
            }

            if (largest is not null)
            {
                Encode(numbers, target, largest, signed);
            }

            return found;
        }

        foreach (var (piece, from, to) in overlaps)
        {
            using var scope = NewDisposeScope();
            const int Size = BlockCodes.BlockSize;
            StoredTensors.CopyTo(piece.Values, from - piece.Start, target.narrow(0, from - first, to - from));
            StoredTensors.CopyTo(
                piece.Largest!,
                (from - piece.Start) / Size,
                largest.narrow(0, (from - first) / Size, BlockCodes.Blocks(to - from))
            );
            found += to - from;
        }

        return found;
    }

    private static void Check(StoredTensor values, StoredTensor? largest)
    {
        var blocks = BlockCodes.Blocks(values.Shape.Length == 1 ? values.Shape[0] : 0);
        if (
            values.Shape.Length != 1
            || (values.Type == ElementType.U8) != (largest is not null)
            || (largest is not null && (largest.Shape.Length != 1 || largest.Shape[0] != blocks))
        )
        {
            throw new InvalidDataException(
                $"{values.File.Path}: '{values.Name}' is {values.Type} [{string.Join(", ", values.Shape)}] with "
                    + (largest is null ? "no" : $"[{string.Join(", ", largest.Shape)}]")
                    + $" magnitudes; expected numbers alone, or codes (U8) with a magnitude for each "
                    + $"{BlockCodes.BlockSize} of them. The file is damaged; resume from another checkpoint."
            );
        }
    }

    private static bool CanKeepCodes(
        (long Start, StoredTensor Values, StoredTensor? Largest) piece,
        long from,
        long first
    ) =>
        piece.Largest is not null
        && (from - piece.Start) % BlockCodes.BlockSize == 0
        && (from - first) % BlockCodes.BlockSize == 0;

    private static void ReadNumbers(
        (long Start, StoredTensor Values, StoredTensor? Largest) piece,
        long from,
        Tensor target,
        bool signed
    )
    {
        if (piece.Largest is null)
        {
            StoredTensors.CopyTo(piece.Values, from - piece.Start, target);
            return;
        }

        var (begin, end) = (from - piece.Start, from - piece.Start + target.shape[0]);
        for (var at = begin / BlockCodes.BlockSize * BlockCodes.BlockSize; at < end; at += Chunk)
        {
            using var scope = NewDisposeScope();
            var length = Math.Min(Chunk, end - at);
            var codes = empty(length, ScalarType.Byte, CPU);
            var largest = empty(BlockCodes.Blocks(length), ScalarType.Float32, CPU);
            StoredTensors.CopyTo(piece.Values, at, codes);
            StoredTensors.CopyTo(piece.Largest, at / BlockCodes.BlockSize, largest);
            var skipped = Math.Max(0, begin - at);
            target
                .narrow(0, at + skipped - begin, length - skipped)
                .copy_(BlockCodes.Decode(codes, largest, signed).narrow(0, skipped, length - skipped));
        }
    }

    private static void Encode(Tensor numbers, Tensor codes, Tensor largest, bool signed)
    {
        for (long at = 0; at < numbers.shape[0]; at += Chunk)
        {
            using var scope = NewDisposeScope();
            var length = Math.Min(Chunk, numbers.shape[0] - at);
            BlockCodes.Encode(
                numbers.narrow(0, at, length).to(codes.device),
                codes.narrow(0, at, length),
                largest.narrow(0, at / BlockCodes.BlockSize, BlockCodes.Blocks(length)),
                signed
            );
        }
    }
}
