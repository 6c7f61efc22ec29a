using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>What the ranks of a run do together; the same program runs on each.</summary>
/// <remarks>
/// All ranks make the same calls in the same order, with the same sizes, types and labels. Tensors are contiguous and
/// on <see cref="Device"/>; only their elements count, in order, not their shapes; <c>n</c> below counts elements.
/// Nothing is recorded for differentiation. One rank's object is used by one thread at a time.
/// <see cref="IDisposable.Dispose"/> is a call like the others: a rank returns from it when all are there. N is
/// <see cref="WorldSize"/>. </remarks>
public interface ICollectives : IDisposable
{
    /// <summary>This rank's number, from 0.</summary>
    int Rank { get; }

    /// <summary>How many ranks there are.</summary>
    int WorldSize { get; }

    /// <summary>Where the tensors of the calls lie.</summary>
    Device Device { get; }

    /// <summary>What has been sent so far, and how long it took.</summary>
    Traffic Traffic { get; }

    /// <summary>Gathers every rank's shard.</summary>
    /// <param name="shard">This rank's part [n], any type. May be the very place in <paramref name="full"/> that it
    /// goes to.</param>
    /// <param name="full">Receives rank 0's shard, rank 1's and so on, [N·n].</param>
    /// <param name="label">Where in the run.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not fit each other.</exception>
    Pending AllGather(Tensor shard, Tensor full, CallLabel label = default);

    /// <summary>Sums all ranks' tensors and leaves each rank its slice of the sum.</summary>
    /// <param name="full">This rank's summand [N·n]: float16, bfloat16, float32, float64, int32 or int64.</param>
    /// <param name="shard">Receives slice <see cref="Rank"/> of the sum, [n]. May be that very slice of
    /// <paramref name="full"/>.</param>
    /// <param name="label">Where in the run.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not fit each other.</exception>
    /// <remarks>
    /// Threads, MPI: summands are added in the order of the ranks, 16-bit floats in float32 and rounded once. NCCL: in
    /// an order, and for 16-bit floats with a rounding at each addition, that it chooses by size and topology; the same
    /// in each run. </remarks>
    Pending ReduceScatterSum(Tensor full, Tensor shard, CallLabel label = default);

    /// <summary>Replaces every rank's tensor by the sum of all; the same bits on each rank.</summary>
    /// <param name="buffer">Summand, then sum [n]; types and order of summation as in
    /// <see cref="ReduceScatterSum"/>.</param>
    /// <param name="label">Where in the run.</param>
    /// <exception cref="ArgumentException">The tensor is not contiguous, not on the device or of a type that is not
    /// summed.</exception>
    Pending AllReduceSum(Tensor buffer, CallLabel label = default);

    /// <summary>Replaces every rank's tensor by the root's.</summary>
    /// <param name="buffer">Read on the root, written on the others, [n], any type.</param>
    /// <param name="root">The rank that gives.</param>
    /// <param name="label">Where in the run.</param>
    /// <exception cref="ArgumentException">The tensor is not contiguous or not on the device, or no such
    /// rank.</exception>
    Pending Broadcast(Tensor buffer, int root, CallLabel label = default);

    /// <summary>Slice r of this rank's tensor goes to rank r, as its slice number <see cref="Rank"/>.</summary>
    /// <param name="send">Slices for rank 0, 1 and so on, [N·n], any type.</param>
    /// <param name="receive">Slices from rank 0, 1 and so on, [N·n]; shares no memory with
    /// <paramref name="send"/>.</param>
    /// <param name="label">Where in the run.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not fit each other.</exception>
    Pending AllToAll(Tensor send, Tensor receive, CallLabel label = default);

    /// <summary>One step around the ring: gives to the next rank and takes from the one before; the last is before the
    /// first.</summary>
    /// <param name="send">For rank <c>(Rank + 1) mod N</c>, [n], any type.</param>
    /// <param name="receive">From rank <c>(Rank − 1) mod N</c>, [n]; shares no memory with
    /// <paramref name="send"/>.</param>
    /// <param name="label">Where in the run.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not fit each other.</exception>
    Pending RingShift(Tensor send, Tensor receive, CallLabel label = default);

    /// <summary>Returns when every rank has called it; the host waits, on a GPU too.</summary>
    /// <exception cref="LostRankException">Another rank has failed or has not come in time (thread ranks).</exception>
    void Barrier(CallLabel label = default);

    /// <summary>Ends the run on all ranks, because this one cannot go on.</summary>
    /// <param name="cause">What went wrong; the other ranks' messages quote it where they can.</param>
    /// <param name="exitCode">What this process ends with.</param>
    /// <remarks>
    /// Process ranks do not return from it: the caller has written its own message and files before. Thread ranks and a
    /// single rank do return; the other threads get a <see cref="LostRankException"/> from the call that they are in or
    /// make next. </remarks>
    void Abort(Exception cause, int exitCode);
}
