using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>Movements of bytes of one call, by the library's collectives where counts and offsets fit their 31 bits,
/// else in pairs of ranks.</summary>
/// <remarks>Used on the MPI thread.</remarks>
internal readonly ref struct MpiExchange(MpiThread thread, MpiPending work, long largestMessage)
{
    private readonly MpiLibrary library = MpiLibrary.Current;

    /// <summary>Everyone's <paramref name="bytes"/> bytes, rank after rank.</summary>
    /// <param name="send">This rank's; may be its place in <paramref name="receive"/>.</param>
    /// <param name="receive">Room for <paramref name="bytes"/> of each rank.</param>
    /// <param name="bytes">Bytes of one rank.</param>
    public void AllGather(nint send, nint receive, long bytes)
    {
        if (bytes * thread.Size > largestMessage)
        {
            Pairwise(send, 0, receive, bytes, bytes);
            return;
        }

        var inPlace = send == receive + (nint)(thread.Rank * bytes);
        MpiNative.Check(
            MpiNative.AllGather(
                inPlace ? library.InPlace : send,
                (int)bytes,
                library.TypeByte,
                receive,
                (int)bytes,
                library.TypeByte,
                library.CommWorld,
                out var request
            ),
            "MPI_Iallgather"
        );
        thread.Complete(request, work);
    }

    /// <summary>Bytes for rank r are taken from <c>send + r·sendStride</c>; those of rank r go to <c>receive +
    /// r·bytes</c>.</summary>
    public void AllToAll(nint send, long sendStride, nint receive, long bytes)
    {
        if (sendStride != bytes || bytes * thread.Size > largestMessage)
        {
            Pairwise(send, sendStride, receive, bytes, bytes);
            return;
        }

        MpiNative.Check(
            MpiNative.AllToAll(
                send,
                (int)bytes,
                library.TypeByte,
                receive,
                (int)bytes,
                library.TypeByte,
                library.CommWorld,
                out var request
            ),
            "MPI_Ialltoall"
        );
        thread.Complete(request, work);
    }

    /// <summary>The root's bytes, to everyone.</summary>
    public void Broadcast(nint buffer, long bytes, int root)
    {
        for (long start = 0; start < bytes; start += largestMessage)
        {
            var length = (int)Math.Min(largestMessage, bytes - start);
            MpiNative.Check(
                MpiNative.Broadcast(
                    buffer + (nint)start,
                    length,
                    library.TypeByte,
                    root,
                    library.CommWorld,
                    out var request
                ),
                "MPI_Ibcast"
            );
            thread.Complete(request, work);
        }
    }

    /// <summary>Bytes to one rank and as many from another.</summary>
    public void SendAndReceive(nint send, int to, nint receive, int from, long bytes)
    {
        for (long start = 0; start < bytes; start += largestMessage)
        {
            var length = (int)Math.Min(largestMessage, bytes - start);
            MpiNative.Check(
                MpiNative.Receive(
                    receive + (nint)start,
                    length,
                    library.TypeByte,
                    from,
                    0,
                    library.CommWorld,
                    out var receiving
                ),
                "MPI_Irecv"
            );
            MpiNative.Check(
                MpiNative.Send(send + (nint)start, length, library.TypeByte, to, 0, library.CommWorld, out var sending),
                "MPI_Isend"
            );
            thread.Complete(receiving, work);
            thread.Complete(sending, work);
        }
    }

    // In round k each rank gives to the k-th after it, so that all links are busy and each rank talks to two others at
    // a time.
    private unsafe void Pairwise(nint send, long sendStride, nint receive, long receiveStride, long bytes)
    {
        var (rank, size) = (thread.Rank, thread.Size);
        var (mine, place) = (send + (nint)(rank * sendStride), receive + (nint)(rank * receiveStride));
        if (mine != place)
        {
            Buffer.MemoryCopy((void*)mine, (void*)place, bytes, bytes);
        }

        for (var round = 1; round < size; round++)
        {
            var (to, from) = ((rank + round) % size, (rank + size - round) % size);
            SendAndReceive(send + (nint)(to * sendStride), to, receive + (nint)(from * receiveStride), from, bytes);
        }
    }
}
