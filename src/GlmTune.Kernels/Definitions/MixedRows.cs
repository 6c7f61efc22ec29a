using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Which low-rank adapter each row of a pass uses, as a row of the tables of <see cref="MixedLowRank"/>; 0:
/// none.</summary>
/// <remarks>All shapes follow from the number of rows, so a pass can be captured once and replayed with other numbers
/// in the tensors. Owns its tensors. Not thread-safe.</remarks>
/// <param name="index">Adapter of each row, int64 [N].</param>
/// <param name="order">The rows in an order in which those of an adapter are neighbors, int64 [N].</param>
/// <param name="tiles">Up to <see cref="TileRows"/> neighbors of one adapter each, (adapter, first, count) in one
/// number, int64 [tiles]; 0 past the last.</param>
internal sealed class MixedRows(Tensor index, Tensor order, Tensor tiles) : IDisposable
{
    /// <summary>Most rows of a tile.</summary>
    public const int TileRows = 16;

    private const int AdapterShift = 32;
    private const int FirstShift = 8;
    private const int FirstMask = 0xffffff;
    private const int CountMask = 0xff;

    private List<(int Adapter, int First, int Count)>? groups;

    /// <summary>Adapter of each row, int64 [N].</summary>
    public Tensor Index { get; } = index.DetachFromDisposeScope();

    /// <summary>The rows in an order in which those of an adapter are neighbors, int64 [N].</summary>
    public Tensor Order { get; } = order.DetachFromDisposeScope();

    /// <summary>For the kernels, int64 [tiles].</summary>
    public Tensor Tiles { get; } = tiles.DetachFromDisposeScope();

    /// <summary>The rows of a pass.</summary>
    /// <param name="adapters">Adapter of each row.</param>
    /// <param name="device">Device of the tensors.</param>
    public static MixedRows Of(ReadOnlySpan<int> adapters, Device device)
    {
        using var scope = NewDisposeScope();
        var count = adapters.Length;
        var numbers = new long[3 * count];
        for (var i = 0; i < count; i++)
        {
            numbers[i] = adapters[i];
        }

        var tiles = Arrange(adapters, numbers.AsSpan(count, count), numbers.AsSpan(2 * count));
        var all = HostValues.ToDevice(numbers, device);
        return new(all.narrow(0, 0, count), all.narrow(0, count, count), all.narrow(0, 2 * count, tiles));
    }

    /// <summary>Sorts rows by adapter.</summary>
    /// <param name="adapters">Adapter of each row; fewer than 2²⁴ rows.</param>
    /// <param name="order">Receives the order, as many numbers.</param>
    /// <param name="tiles">Receives the tiles, then zeros; as many numbers.</param>
    /// <returns>Number of tiles.</returns>
    public static int Arrange(ReadOnlySpan<int> adapters, Span<long> order, Span<long> tiles)
    {
        var keys = new long[adapters.Length];
        for (var i = 0; i < keys.Length; i++)
        {
            keys[i] = ((long)adapters[i] << AdapterShift) | (uint)i;
        }

        Array.Sort(keys);
        var (count, first) = (0, 0);
        for (var i = 0; i < keys.Length; i++)
        {
            order[i] = (uint)keys[i];
            var ends = i + 1 == keys.Length || keys[i + 1] >> AdapterShift != keys[i] >> AdapterShift;
            if (ends || i + 1 - first == TileRows)
            {
                tiles[count++] =
                    (keys[i] >> AdapterShift << AdapterShift) | ((long)first << FirstShift) | (uint)(i + 1 - first);
                first = i + 1;
            }
        }

        tiles[count..].Clear();
        return count;
    }

    /// <summary>The neighbors in <see cref="Order"/> that have one adapter; read from the device once.</summary>
    public IReadOnlyList<(int Adapter, int First, int Count)> Groups()
    {
        if (groups is not null)
        {
            return groups;
        }

        groups = [];
        using var host = Tiles.cpu();
        foreach (var tile in host.data<long>())
        {
            var (adapter, first, count) = (
                (int)(tile >> AdapterShift),
                (int)(tile >> FirstShift) & FirstMask,
                (int)tile & CountMask
            );
            if (groups.Count > 0 && groups[^1].Adapter == adapter && count > 0)
            {
                groups[^1] = groups[^1] with { Count = groups[^1].Count + count };
            }
            else if (count > 0)
            {
                groups.Add((adapter, first, count));
            }
        }

        return groups;
    }

    /// <summary>A copy on another device; the caller disposes it.</summary>
    public MixedRows On(Device device)
    {
        using var scope = NewDisposeScope();
        return new(Index.to(device).alias(), Order.to(device).alias(), Tiles.to(device).alias());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Index.Dispose();
        Order.Dispose();
        Tiles.Dispose();
    }
}
