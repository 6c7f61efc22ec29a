using GlmTune.Collectives.Native;

namespace GlmTune.Collectives;

/// <summary>Moves the bytes of one call, using the library's collectives if counts and offsets fit 31 bits, otherwise
/// pairwise messages.</summary>
/// <remarks>Used on the MPI thread.</remarks>
internal readonly ref struct MpiExchange(MpiThread thread, MpiPending work, long largestMessage)
{
    private readonly MpiLibrary library = MpiLibrary.Current;

    /// <summary>Everyone's <paramref name="bytes"/> bytes, in rank order.</summary>
    /// <param name="send">This rank's bytes; may be their final location in <paramref name="receive"/>.</param>
    /// <param name="receive">Room for <paramref name="bytes"/> bytes from each rank.</param>
    /// <param name="bytes">Number of bytes per rank.</param>
    public void AllGather(nint send, nint receive, long bytes)
    {
        if (bytes * thread.Size > largestMessage)
        {
            Pairwise(send, 0, receive, bytes, bytes, thread.Size);
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

    /// <summary>Bytes for rank r are read from <c>send + r·sendStride</c>; those from rank r are written to <c>receive
    /// + r·bytes</c>. In groups, r counts the ranks of a group.</summary>
    public void AllToAll(nint send, long sendStride, nint receive, long bytes, int? group = null)
    {
        if (group is { } size && size != thread.Size)
        {
            Pairwise(send, sendStride, receive, bytes, bytes, size);
            return;
        }

        if (sendStride != bytes || bytes * thread.Size > largestMessage)
        {
            Pairwise(send, sendStride, receive, bytes, bytes, thread.Size);
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

    /// <summary>Sends the root's bytes to everyone.</summary>
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

    /// <summary>Sends bytes to one rank and receives equally many from another.</summary>
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

    // In round k each rank sends to the k-th rank after it, so all links are busy and each rank communicates with two
    // others at a time.
    private unsafe void Pairwise(nint send, long sendStride, nint receive, long receiveStride, long bytes, int group)
    {
        var (first, rank) = (thread.Rank / group * group, thread.Rank % group);
        var (mine, place) = (send + (nint)(rank * sendStride), receive + (nint)(rank * receiveStride));
        if (mine != place)
        {
            Buffer.MemoryCopy((void*)mine, (void*)place, bytes, bytes);
        }

        for (var round = 1; round < group; round++)
        {
            var (to, from) = ((rank + round) % group, (rank + group - round) % group);
            SendAndReceive(
                send + (nint)(to * sendStride),
                first + to,
                receive + (nint)(from * receiveStride),
                first + from,
                bytes
            );
        }
    }
}
