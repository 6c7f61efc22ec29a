using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Communication between the ranks of a run; every rank runs the same program.</summary>
/// <remarks>All ranks make the same calls in the same order, with the same sizes, types and labels. Tensors are
/// contiguous and on <see cref="Device"/>; only their elements and element order matter, not their shapes; <c>n</c>
/// below is a number of elements. Nothing is recorded for autograd. An object may be used by one thread at a time.
/// <see cref="IDisposable.Dispose"/> is a collective call too: it returns when all ranks have called it. N is
/// <see cref="WorldSize"/>.</remarks>
internal interface ICollectives : IDisposable
{
    /// <summary>Rank of this process or thread, from 0.</summary>
    int Rank { get; }

    /// <summary>Number of ranks.</summary>
    int WorldSize { get; }

    /// <summary>Device of the tensors in all calls.</summary>
    Device Device { get; }

    /// <summary>Bytes sent so far, and the time it took.</summary>
    Traffic Traffic { get; }

    /// <summary>What this rank is doing, for <see cref="StallWatch"/>.</summary>
    RankActivity Activity { get; }

    /// <summary>Gathers the shards of all ranks.</summary>
    /// <param name="shard">This rank's shard, [n], any type. May be the slice of <paramref name="full"/> that it is
    /// written to.</param>
    /// <param name="full">Receives rank 0's shard, rank 1's and so on, [N·n].</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not match.</exception>
    Pending AllGather(Tensor shard, Tensor full, CallLabel label = default);

    /// <summary>Sums the tensors of all ranks and gives each rank its slice of the sum.</summary>
    /// <param name="full">This rank's summand, [N·n]: float16, bfloat16, float32, float64, int32 or int64.</param>
    /// <param name="shard">Receives slice <see cref="Rank"/> of the sum, [n]. May be that slice of
    /// <paramref name="full"/>.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not match.</exception>
    /// <remarks>Thread and MPI ranks add summands in rank order; 16-bit floats are added in float32 and rounded once.
    /// NCCL chooses the order by size and topology, and rounds 16-bit floats at each addition; the result is the same
    /// in each run.</remarks>
    Pending ReduceScatterSum(Tensor full, Tensor shard, CallLabel label = default);

    /// <summary>Replaces the tensor of every rank by the sum of all; identical bits on each rank.</summary>
    /// <param name="buffer">The summand, then the sum, [n]; types and order of summation as in
    /// <see cref="ReduceScatterSum"/>.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <exception cref="ArgumentException">The tensor is not contiguous, not on the device, or of a type that cannot be
    /// summed.</exception>
    Pending AllReduceSum(Tensor buffer, CallLabel label = default);

    /// <summary>Replaces the tensor of every rank by the root's.</summary>
    /// <param name="buffer">Read on the root, written on the others, [n], any type.</param>
    /// <param name="root">The sending rank.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <exception cref="ArgumentException">The tensor is not contiguous or not on the device, or the root is not a
    /// rank.</exception>
    Pending Broadcast(Tensor buffer, int root, CallLabel label = default);

    /// <summary>Sends slice r of this rank's tensor to rank r, where it becomes slice <see cref="Rank"/> of the
    /// result.</summary>
    /// <param name="send">Slices for rank 0, 1 and so on, [N·n], any type.</param>
    /// <param name="receive">Slices from rank 0, 1 and so on, [N·n]; must not share memory with
    /// <paramref name="send"/>.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <param name="group">Number of consecutive ranks that exchange with each other, a divisor of N, which then stands
    /// for N above, with the rank's place in its group for its number; sizes may differ between groups. Null: all
    /// ranks.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not match.</exception>
    Pending AllToAll(Tensor send, Tensor receive, CallLabel label = default, int? group = null);

    /// <summary>One step around the ring: sends to the next rank and receives from the previous one,
    /// cyclically.</summary>
    /// <param name="send">For rank <c>(Rank + 1) mod N</c>, [n], any type.</param>
    /// <param name="receive">From rank <c>(Rank − 1) mod N</c>, [n]; must not share memory with
    /// <paramref name="send"/>.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <exception cref="ArgumentException">Sizes, types, devices or memory layouts do not match.</exception>
    Pending RingShift(Tensor send, Tensor receive, CallLabel label = default);

    /// <summary>Returns when every rank has called it; the host waits, even if the tensors are on a GPU.</summary>
    /// <exception cref="LostRankException">Another rank has failed, or did not arrive in time (thread
    /// ranks).</exception>
    void Barrier(CallLabel label = default);

    /// <summary>Ends the run on all ranks, because this one cannot continue.</summary>
    /// <param name="cause">The error; messages of other ranks quote it if they can.</param>
    /// <param name="exitCode">Exit code of this process.</param>
    /// <remarks>Does not return for process ranks: the caller must have written its message and files before. Returns
    /// for thread ranks and a single rank; other threads get a <see cref="LostRankException"/> from their current or
    /// next call.</remarks>
    void Abort(Exception cause, int exitCode);
}
