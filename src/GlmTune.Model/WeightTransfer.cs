using System.Collections.Concurrent;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using GlmTune.Weights;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>Copies stored tensors to their destinations piece by piece on several threads: each byte is read once and
/// sent once.</summary>
/// <remarks>For a GPU, a piece is read into page-locked memory and copied while the next is read into a second block.
/// For the CPU, it is read directly to its destination.</remarks>
/// <param name="device">Device of the targets.</param>
internal sealed class WeightTransfer(Device device) : IDisposable
{
    private const int PieceBytes = 4 << 20;
    private const int MaxReaders = 12;

    private readonly ConcurrentBag<PinnedMemory> blocks = [];

    /// <summary>Number of reader threads.</summary>
    public static int Readers => Math.Clamp(Environment.ProcessorCount, 1, MaxReaders);

    /// <summary>Fills every target; returns when all bytes are there, or are queued on the current stream.</summary>
    /// <param name="moves">Stored tensors, with contiguous tensors of the same type and shape.</param>
    /// <exception cref="InvalidDataException">A file has become shorter since it was opened.</exception>
    public void Run(IReadOnlyList<(StoredTensor Stored, Tensor Target)> moves)
    {
        var pieces = Pieces(moves);
        if (pieces.Count == 0)
        {
            return;
        }

        var next = -1;
        Exception? failure = null;
        void Read()
        {
            try
            {
                Work(pieces, () => failure is null ? Interlocked.Increment(ref next) : int.MaxValue);
            }
            catch (Exception error)
            {
                Interlocked.CompareExchange(ref failure, error, null);
            }
        }

        Thread[] threads =
        [
            .. Enumerable
                .Range(0, Math.Min(Readers, pieces.Count))
                .Select(number => new Thread(Read) { IsBackground = true, Name = $"weights {number}" }),
        ];
        foreach (var thread in threads)
        {
            thread.Start();
        }

        foreach (var thread in threads)
        {
            thread.Join();
        }

        if (failure is not null)
        {
            throw failure is InvalidDataException
                ? new InvalidDataException(failure.Message, failure)
                : new IOException($"Weights could not be read: {failure.Message}", failure);
        }
    }

    /// <summary>Whether <see cref="Run"/> supports such a copy: the type is not converted.</summary>
    public static bool Fits(StoredTensor stored, Tensor target) =>
        StoredTensors.TypeOf(stored.Type) == target.dtype && target.is_contiguous();

    /// <inheritdoc/>
    public void Dispose()
    {
        while (blocks.TryTake(out var block))
        {
            block.Dispose();
        }
    }

    private static List<Piece> Pieces(IReadOnlyList<(StoredTensor Stored, Tensor Target)> moves)
    {
        var pieces = new List<Piece>();
        foreach (var (stored, target) in moves)
        {
            for (long from = 0; from < stored.ByteCount; from += PieceBytes)
            {
                pieces.Add(new Piece(stored, target, from, (int)Math.Min(PieceBytes, stored.ByteCount - from)));
            }
        }

        return pieces;
    }

    private void Work(List<Piece> pieces, Func<int> next)
    {
        if (device.type != DeviceType.CUDA)
        {
            for (var i = next(); i < pieces.Count; i = next())
            {
                var piece = pieces[i];
                piece.Stored.CopyRange(TensorAddress.Of(piece.Target) + (nint)piece.From, piece.Bytes, piece.From);
            }

            return;
        }

        var (block, other) = (TakeBlock(), TakeBlock());
        for (var i = next(); i < pieces.Count; i = next())
        {
            var piece = pieces[i];
            block.Wait();
            piece.Stored.CopyRange(block.Address, piece.Bytes, piece.From);
            block.CopyTo(piece.Target, 0, piece.Bytes, piece.From);
            (block, other) = (other, block);
        }

        blocks.Add(block);
        blocks.Add(other);
    }

    private PinnedMemory TakeBlock() => blocks.TryTake(out var block) ? block : new PinnedMemory(device, PieceBytes);

    private readonly record struct Piece(StoredTensor Stored, Tensor Target, long From, int Bytes);
}
