using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>Movements of bytes of one call, cut into messages whose counts MPI can express. Used on the MPI thread.</summary>
internal readonly ref struct MpiExchange(MpiThread thread, MpiBlocks blocks, MpiPending work, long largestMessage)
{
    private readonly MpiLibrary library = MpiLibrary.Current;

    /// <summary>Everyone's <paramref name="bytes"/> bytes, rank after rank.</summary>
    /// <param name="send">This rank's; may be its place in <paramref name="receive"/>.</param>
    /// <param name="receive">Room for <paramref name="bytes"/> of each rank.</param>
    /// <param name="bytes">Bytes of one rank.</param>
    /// <param name="rank">This rank.</param>
    public void AllGather(nint send, nint receive, long bytes, int rank)
    {
        var inPlace = send == receive + (nint)(rank * bytes);
        for (long start = 0; start < bytes; start += largestMessage)
        {
            var length = (int)Math.Min(largestMessage, bytes - start);
            MpiNative.Check(
                MpiNative.AllGather(
                    inPlace ? library.InPlace : send + (nint)start, length, library.TypeByte,
                    receive + (nint)start, 1, blocks.Of(length, bytes), library.CommWorld, out var request), "MPI_Iallgather");
            thread.Complete(request, work);
        }
    }

    /// <summary>Bytes for rank r are taken from <c>send + r·sendStride</c>; those of rank r go to <c>receive + r·receiveStride</c>.</summary>
    public void AllToAll(nint send, long sendStride, nint receive, long receiveStride, long bytes)
    {
        for (long start = 0; start < bytes; start += largestMessage)
        {
            var length = (int)Math.Min(largestMessage, bytes - start);
            MpiNative.Check(
                MpiNative.AllToAll(
                    send + (nint)start, 1, blocks.Of(length, sendStride),
                    receive + (nint)start, 1, blocks.Of(length, receiveStride), library.CommWorld, out var request), "MPI_Ialltoall");
            thread.Complete(request, work);
        }
    }

    /// <summary>The root's bytes, to everyone.</summary>
    public void Broadcast(nint buffer, long bytes, int root)
    {
        for (long start = 0; start < bytes; start += largestMessage)
        {
            var length = (int)Math.Min(largestMessage, bytes - start);
            MpiNative.Check(
                MpiNative.Broadcast(buffer + (nint)start, length, library.TypeByte, root, library.CommWorld, out var request), "MPI_Ibcast");
            thread.Complete(request, work);
        }
    }

    /// <summary>Bytes to one rank and as many from another.</summary>
    public void SendAndReceive(nint send, int to, nint receive, int from, long bytes)
    {
        for (long start = 0; start < bytes; start += largestMessage)
        {
            var length = (int)Math.Min(largestMessage, bytes - start);
            MpiNative.Check(MpiNative.Receive(receive + (nint)start, length, library.TypeByte, from, 0, library.CommWorld, out var receiving), "MPI_Irecv");
            MpiNative.Check(MpiNative.Send(send + (nint)start, length, library.TypeByte, to, 0, library.CommWorld, out var sending), "MPI_Isend");
            thread.Complete(receiving, work);
            thread.Complete(sending, work);
        }
    }
}
