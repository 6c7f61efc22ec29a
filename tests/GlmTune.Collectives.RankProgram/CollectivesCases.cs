using System.Diagnostics;
using System.Reflection;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

/// <summary>What every backend must do, on any number of ranks. Each internal method is a case; all ranks run it
/// together.</summary>
public static class CollectivesCases
{
    private static readonly ScalarType[] Summable =
    [
        ScalarType.Float32,
        ScalarType.Float64,
        ScalarType.BFloat16,
        ScalarType.Float16,
        ScalarType.Int32,
        ScalarType.Int64,
    ];

    /// <summary>The cases by name.</summary>
    internal static IReadOnlyDictionary<string, Action<ICollectives>> All { get; } =
        typeof(CollectivesCases)
            .GetMethods(BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(method => method is { IsAssembly: true, IsSpecialName: false })
            .ToDictionary(method => method.Name, method => method.CreateDelegate<Action<ICollectives>>());

    internal static void All_gather_gives_every_rank_every_shard(ICollectives ranks)
    {
        foreach (var type in (ScalarType[])[.. Summable, ScalarType.Byte, ScalarType.Bool])
        {
            foreach (var count in (long[])[0, 1, 7, 5000])
            {
                var full = Zeros(ranks, ranks.WorldSize * count, type);
                ranks.AllGather(Of(ranks, ranks.Rank, count, type), full, new CallLabel(3, 17)).Wait();
                AssertSame(cat([.. Everyone(ranks).Select(rank => Of(ranks, rank, count, type))]), full);
            }
        }
    }

    internal static void All_gather_works_in_place_and_over_views_of_other_shapes(ICollectives ranks)
    {
        var full = Zeros(ranks, ranks.WorldSize * 24).view(-1, 6, 4);
        full[ranks.Rank].copy_(Of(ranks, ranks.Rank, 24, ScalarType.Float32).view(6, 4));
        ranks.AllGather(full[ranks.Rank], full).Wait();
        AssertSame(stack(Everyone(ranks).Select(rank => Of(ranks, rank, 24, ScalarType.Float32).view(6, 4))), full);
    }

    internal static void Reduce_scatter_adds_in_the_order_of_the_ranks(ICollectives ranks)
    {
        foreach (var type in Summable)
        {
            foreach (var count in (long[])[1, 9, type == ScalarType.BFloat16 ? 90_000 : 2000])
            {
                var shard = Zeros(ranks, count, type);
                ranks.ReduceScatterSum(Of(ranks, ranks.Rank, ranks.WorldSize * count, type), shard).Wait();
                AssertSame(
                    SeededValues
                        .Sum(ranks.WorldSize, ranks.WorldSize * count, type)
                        .narrow(0, ranks.Rank * count, count),
                    shard
                );
            }
        }
    }

    internal static void Reduce_scatter_works_in_place_and_leaves_other_inputs_alone(ICollectives ranks)
    {
        const long Count = 300;
        var full = Of(ranks, ranks.Rank, ranks.WorldSize * Count, ScalarType.Float32);
        var before = full.clone();
        var apart = Zeros(ranks, Count);
        ranks.ReduceScatterSum(full, apart).Wait();
        AssertSame(before, full);

        var slice = full.narrow(0, ranks.Rank * Count, Count);
        ranks.ReduceScatterSum(full, slice).Wait();
        AssertSame(apart, slice);
    }

    internal static void All_reduce_gives_the_same_bits_as_adding_in_the_order_of_the_ranks(ICollectives ranks)
    {
        foreach (var type in Summable)
        {
            foreach (
                var count in (long[])
                    [0, 1, 2, 5, 30_011, type is ScalarType.Float32 or ScalarType.BFloat16 ? 270_007 : 3]
            )
            {
                var buffer = Of(ranks, ranks.Rank, count, type);
                ranks.AllReduceSum(buffer).Wait();
                AssertSame(SeededValues.Sum(ranks.WorldSize, count, type), buffer);
            }
        }
    }

    internal static void Broadcast_gives_every_rank_the_values_of_the_root(ICollectives ranks)
    {
        foreach (var type in (ScalarType[])[ScalarType.BFloat16, ScalarType.Byte, ScalarType.Float32])
        {
            foreach (var root in Everyone(ranks))
            {
                var buffer = Of(ranks, ranks.Rank, 5003, type);
                ranks.Broadcast(buffer, root).Wait();
                AssertSame(Of(ranks, root, 5003, type), buffer);
            }
        }
    }

    internal static void All_to_all_transposes_slices_and_ranks(ICollectives ranks)
    {
        const long Count = 1237;
        foreach (var type in (ScalarType[])[ScalarType.BFloat16, ScalarType.Float32])
        {
            var receive = Zeros(ranks, ranks.WorldSize * Count, type);
            ranks.AllToAll(Of(ranks, ranks.Rank, ranks.WorldSize * Count, type), receive).Wait();
            AssertSame(
                cat([
                    .. Everyone(ranks)
                        .Select(rank =>
                            Of(ranks, rank, ranks.WorldSize * Count, type).narrow(0, ranks.Rank * Count, Count)
                        ),
                ]),
                receive
            );
        }
    }

    internal static void All_to_all_in_groups_exchanges_within_each_whatever_the_sizes_of_the_others(ICollectives ranks)
    {
        foreach (var size in Enumerable.Range(1, ranks.WorldSize).Where(size => ranks.WorldSize % size == 0))
        {
            var (first, place) = (ranks.Rank / size * size, ranks.Rank % size);
            var count = 101 + first;
            var receive = Zeros(ranks, size * count);
            ranks.AllToAll(Of(ranks, ranks.Rank, size * count, ScalarType.Float32), receive, group: size).Wait();
            AssertSame(
                cat([
                    .. Enumerable
                        .Range(first, size)
                        .Select(rank =>
                            Of(ranks, rank, size * count, ScalarType.Float32).narrow(0, place * count, count)
                        ),
                ]),
                receive
            );
        }

        var buffer = Zeros(ranks, 4);
        Assert.Throws<ArgumentException>(() => ranks.AllToAll(buffer, Zeros(ranks, 4), group: ranks.WorldSize + 1));
    }

    internal static void Ring_shift_gives_to_the_next_rank_and_goes_round(ICollectives ranks)
    {
        var held = Of(ranks, ranks.Rank, 2049, ScalarType.Float32);
        for (var turn = 1; turn <= ranks.WorldSize; turn++)
        {
            var received = zeros_like(held);
            ranks.RingShift(held, received).Wait();
            held = received;
            AssertSame(
                Of(ranks, (ranks.Rank - turn + ranks.WorldSize) % ranks.WorldSize, 2049, ScalarType.Float32),
                held
            );
        }
    }

    internal static void Calls_can_be_under_way_together_and_be_waited_for_in_any_order(ICollectives ranks)
    {
        var sums = Enumerable
            .Range(0, 6)
            .Select(seed => Of(ranks, ranks.Rank, 1000 + seed, ScalarType.Float32, seed))
            .ToArray();
        var whole = Zeros(ranks, ranks.WorldSize * 100);
        var pending = sums.Select(sum => ranks.AllReduceSum(sum))
            .Append(ranks.AllGather(Of(ranks, ranks.Rank, 100, ScalarType.Float32), whole))
            .ToArray();
        foreach (var call in pending.Reverse())
        {
            call.Wait();
            call.Wait();
        }

        for (var seed = 0; seed < sums.Length; seed++)
        {
            AssertSame(SeededValues.Sum(ranks.WorldSize, 1000 + seed, ScalarType.Float32, seed), sums[seed]);
        }

        AssertSame(
            Of(ranks, ranks.WorldSize - 1, 100, ScalarType.Float32),
            whole.narrow(0, (ranks.WorldSize - 1) * 100, 100)
        );
    }

    internal static void Tensors_may_be_disposed_while_a_call_is_under_way(ICollectives ranks)
    {
        var full = Zeros(ranks, ranks.WorldSize * 70_000);
        Pending pending;
        using (NewDisposeScope())
        {
            pending = ranks.AllGather(Of(ranks, ranks.Rank, 70_000, ScalarType.Float32), full.view(-1));
        }

        pending.Wait();
        AssertSame(cat([.. Everyone(ranks).Select(rank => Of(ranks, rank, 70_000, ScalarType.Float32))]), full);
    }

    internal static void Parameters_are_written_without_a_graph(ICollectives ranks)
    {
        var weight = Of(ranks, ranks.Rank, 33, ScalarType.Float32).requires_grad_();
        ranks.Broadcast(weight, 0).Wait();
        ranks.AllReduceSum(weight).Wait();
        Assert.True(weight.requires_grad && weight.is_leaf);
        Assert.Null(weight.grad);
    }

    internal static void A_barrier_lets_no_rank_go_before_all_have_come(ICollectives ranks)
    {
        Thread.Sleep(15 * (ranks.WorldSize - 1 - ranks.Rank));
        var came = (double)Stopwatch.GetTimestamp();
        ranks.Barrier(new CallLabel(1));
        var went = (double)Stopwatch.GetTimestamp();
        Assert.True(ranks.Max(came) <= -ranks.Max(-went));
    }

    internal static void Host_values_are_summed_and_compared_over_the_ranks(ICollectives ranks)
    {
        var expected = Everyone(ranks).Select(rank => 0.1 * (rank + 1)).Aggregate((a, b) => a + b);
        Assert.Equal(expected, ranks.Sum(0.1 * (ranks.Rank + 1)));
        Assert.Equal([expected, -1.0 * ranks.WorldSize], ranks.Sum([0.1 * (ranks.Rank + 1), -1.0]));
        Assert.Equal(ranks.WorldSize * (long.MaxValue / 8), ranks.Sum(long.MaxValue / 8));
        Assert.Equal(ranks.WorldSize - 1.0, ranks.Max((double)ranks.Rank));
        Assert.Equal(double.NaN, ranks.Max(ranks.Rank == 0 ? double.NaN : 1));
        Assert.True(ranks.Any(ranks.Rank == ranks.WorldSize - 1));
        Assert.False(ranks.Any(false));
        Assert.Empty(ranks.Sum(ReadOnlySpan<double>.Empty));
    }

    internal static void Bytes_and_strings_of_any_length_are_gathered(ICollectives ranks)
    {
        var bytes = ranks.GatherBytes([.. Enumerable.Range(0, 3 * ranks.Rank).Select(i => (byte)(i + ranks.Rank))]);
        Assert.Equal(ranks.WorldSize, bytes.Length);
        Assert.All(
            bytes,
            (mine, rank) => Assert.Equal(Enumerable.Range(0, 3 * rank).Select(i => (byte)(i + rank)), mine)
        );

        var strings = ranks.GatherStrings([.. Enumerable.Repeat($"第{ranks.Rank}行 🙂", ranks.Rank)]);
        Assert.All(strings, (mine, rank) => Assert.Equal(Enumerable.Repeat($"第{rank}行 🙂", rank), mine));
        Assert.All(ranks.GatherBytes([]), Assert.Empty);
    }

    internal static void Bad_calls_are_refused_before_anything_is_sent(ICollectives ranks)
    {
        var n = ranks.WorldSize;
        var message = Assert
            .Throws<ArgumentException>(() =>
                ranks.AllGather(Zeros(ranks, 3), Zeros(ranks, (3 * n) + 1), new CallLabel(5, 2))
            )
            .Message;
        Assert.Contains(
            $"AllGather of float32 [3] at step 5, layer 2: the full tensor has {(3 * n) + 1} elements and the "
                + "shard 3",
            message
        );
        Assert.Throws<ArgumentException>(() =>
            ranks.AllGather(Zeros(ranks, 3), Zeros(ranks, 3 * n, ScalarType.Float64))
        );
        Assert.Throws<ArgumentException>(() => ranks.AllReduceSum(Zeros(ranks, 16).view(4, 4).t()));
        Assert.Throws<ArgumentException>(() => ranks.AllReduceSum(Zeros(ranks, 4, ScalarType.Bool)));
        Assert.Throws<ArgumentException>(() => ranks.AllReduceSum(zeros(4, device: new Device(DeviceType.META))));
        Assert.Throws<ArgumentOutOfRangeException>(() => ranks.Broadcast(Zeros(ranks, 4), n));
        Assert.Throws<ArgumentException>(() => ranks.RingShift(Zeros(ranks, 4), Zeros(ranks, 5)));
        var buffer = Zeros(ranks, 8 * n);
        Assert.Throws<ArgumentException>(() => ranks.AllToAll(buffer, buffer));
        var notMine = buffer.narrow(0, 8 * ((ranks.Rank + 1) % n), 8);
        if (n > 1)
        {
            Assert.Throws<ArgumentException>(() => ranks.AllGather(notMine, buffer));
        }

        Assert.Equal(n, ranks.Sum(1L));
    }

    internal static void Traffic_counts_calls_and_bytes(ICollectives ranks)
    {
        var n = ranks.WorldSize;
        var before = ranks.Traffic.Total;
        ranks.AllGather(Zeros(ranks, 100), Zeros(ranks, 100 * n)).Wait();
        ranks
            .ReduceScatterSum(Zeros(ranks, 100 * n, ScalarType.BFloat16), Zeros(ranks, 100, ScalarType.BFloat16))
            .Wait();
        ranks.AllReduceSum(Zeros(ranks, 10 * n, ScalarType.Float64)).Wait();
        var sent = ranks.Traffic.Total - before;
        Assert.Equal(3, sent.Calls);
        Assert.Equal((400 * (n - 1)) + (200 * (n - 1)) + (160 * (n - 1)), sent.BytesSent);
        Assert.True(sent.Busy > TimeSpan.Zero && sent.Exposed <= sent.Busy);
    }

    private static IEnumerable<int> Everyone(ICollectives ranks) => Enumerable.Range(0, ranks.WorldSize);

    private static Tensor Of(ICollectives ranks, int rank, long count, ScalarType type, int seed = 7) =>
        SeededValues.Of(rank, count, type, seed).to(ranks.Device);

    private static Tensor Zeros(ICollectives ranks, long count, ScalarType type = ScalarType.Float32) =>
        zeros(count, type, ranks.Device);

    private static void AssertSame(Tensor expected, Tensor actual)
    {
        Assert.Equal(expected.dtype, actual.dtype);
        Assert.Equal(expected.shape, actual.shape);
        (expected, actual) = (expected.cpu(), actual.cpu());
        Assert.True(
            expected.eq(actual).all().item<bool>(),
            $"{expected.ne(actual).sum().item<long>()} of {expected.numel()} elements differ."
        );
    }
}
