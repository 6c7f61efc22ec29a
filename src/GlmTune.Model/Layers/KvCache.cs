using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Keys and values of earlier tokens, in blocks of <see cref="CachedBlocks.Tokens"/> tokens. Each slot has a
/// table of the blocks that hold its sequence; several slots may share a block.</summary>
/// <remarks>Keys are stored rotated. The caller decides which blocks are in use; block 0 belongs to no sequence, so
/// that empty entries of tables name a block that exists. Not thread-safe.</remarks>
internal sealed class KvCache : IDisposable
{
    // A small cache is allocated at once; a large one is resized layer by layer, and memory is returned layer by layer.
    private const long OnePieceBytes = 256L << 20;

    private readonly Tensor[] keys;
    private readonly Tensor[] values;
    private readonly List<Tensor> tables = []; // The same on each device.
    private readonly Dictionary<int, int> changed = []; // Entries of the tables that the devices have not received.
    private int[] entries;

    /// <param name="layers">Device of each decoder layer.</param>
    /// <param name="blocks">Number of blocks, including block 0, which is not used.</param>
    /// <param name="slots">Number of sequences.</param>
    /// <param name="capacity">Tokens per sequence, including virtual ones; rounded up to whole blocks.</param>
    /// <param name="keyValueHeads">Number of key-value heads, K.</param>
    /// <param name="headDim">Features per head, D.</param>
    /// <param name="type">Type of the model.</param>
    public KvCache(
        IReadOnlyList<Device> layers,
        int blocks,
        int slots,
        int capacity,
        int keyValueHeads,
        int headDim,
        ScalarType type
    )
    {
        (Blocks, Slots, Capacity) = (blocks, slots, CachedBlocks.For(capacity) * CachedBlocks.Tokens);
        (Device, entries) = (layers[0], new int[slots * EntriesPerSlot]);
        var devices = layers.DistinctBy(Place).ToList();
        long[] shape = [blocks, CachedBlocks.Tokens, keyValueHeads, headDim];
        if (
            devices.Count == 1
            && 2L * layers.Count * shape.Aggregate((a, b) => a * b) * type.ElementSize() <= OnePieceBytes
        )
        {
            using var all = zeros([2L * layers.Count, .. shape], type, Device);
            Tensor Part(int index) => all.select(0, index).DetachFromDisposeScope();
            keys = [.. Enumerable.Range(0, layers.Count).Select(Part)];
            values = [.. Enumerable.Range(layers.Count, layers.Count).Select(Part)];
        }
        else
        {
            Tensor Make(Device device) => zeros(shape, type, device).DetachFromDisposeScope();
            keys = [.. layers.Select(Make)];
            values = [.. layers.Select(Make)];
        }

        MakeTables(devices);
    }

    /// <summary>Number of blocks, including block 0, which is not used.</summary>
    public int Blocks { get; private set; }

    /// <summary>Number of sequences.</summary>
    public int Slots { get; private set; }

    /// <summary>Tokens per sequence.</summary>
    public int Capacity { get; private set; }

    /// <summary>Number of times that it was resized; while it is unchanged, keys, values and tables stay at their
    /// addresses.</summary>
    public int Version { get; private set; }

    /// <summary>Device of the cache; of several, that of the first layer.</summary>
    public Device Device { get; }

    /// <summary>Entries of a slot's table.</summary>
    public int EntriesPerSlot => Capacity / CachedBlocks.Tokens;

    /// <summary>Keys of a layer [blocks, 16, K, D]; owned by the cache.</summary>
    public Tensor Keys(int layer) => keys[layer];

    /// <summary>Values of a layer [blocks, 16, K, D]; owned by the cache.</summary>
    public Tensor Values(int layer) => values[layer];

    /// <summary>Keys, values and tables of a layer, on its device; owned by the cache.</summary>
    public CachedBlocks Layer(int layer)
    {
        Flush();
        return new(keys[layer], values[layer], tables.Find(table => Place(table.device) == Place(keys[layer].device))!);
    }

    /// <summary>The block that holds a slot's tokens from <paramref name="index"/> · 16 on; 0: none yet.</summary>
    public int BlockOf(int slot, int index) => entries[(slot * EntriesPerSlot) + index];

    /// <summary>Sets an entry of a slot's table. The device receives it before the next pass.</summary>
    public void SetBlock(int slot, int index, int block)
    {
        var at = (slot * EntriesPerSlot) + index;
        if (entries[at] != block)
        {
            entries[at] = changed[at] = block;
        }
    }

    /// <summary>Sends changed entries of the tables to the devices, without waiting; for passes that read the tables
    /// where they are.</summary>
    public void Flush()
    {
        if (changed.Count == 0)
        {
            return;
        }

        using var scope = NewDisposeScope();
        foreach (var table in tables)
        {
            var (at, blocks) = (
                HostValues.ToDevice(changed.Keys.Select(entry => (long)entry).ToArray(), table.device),
                HostValues.ToDevice(changed.Values.ToArray(), table.device)
            );
            table.view(-1).index_copy_(0, at, blocks);
        }

        changed.Clear();
    }

    /// <summary>Writes keys and values to the first positions of blocks, for a prefix of virtual tokens.</summary>
    /// <param name="layer">Index of the decoder layer.</param>
    /// <param name="blocks">The blocks that hold the prefix, in order.</param>
    /// <param name="prefix">[2, P, K, D].</param>
    public void WriteStart(int layer, IReadOnlyList<int> blocks, Tensor prefix)
    {
        using var scope = NewDisposeScope();
        for (var (at, left) = (0, (int)prefix.shape[1]); left > 0; at++, left -= CachedBlocks.Tokens)
        {
            var (from, count) = (at * CachedBlocks.Tokens, Math.Min(left, CachedBlocks.Tokens));
            keys[layer].select(0, blocks[at]).narrow(0, 0, count).copy_(prefix[0].narrow(0, from, count));
            values[layer].select(0, blocks[at]).narrow(0, 0, count).copy_(prefix[1].narrow(0, from, count));
        }
    }

    /// <summary>Keys and values of the first tokens of a slot.</summary>
    /// <param name="layer">Index of the decoder layer.</param>
    /// <param name="slot">The slot.</param>
    /// <param name="count">Number of tokens, including virtual ones.</param>
    /// <returns>[2, count, K, D], in the caller's dispose scope.</returns>
    public Tensor ReadStart(int layer, int slot, int count)
    {
        using var scope = NewDisposeScope();
        var cache = Layer(layer);
        var blocks = cache.Tables[slot].narrow(0, 0, CachedBlocks.For(count));
        Tensor Read(Tensor stored) => stored.index_select(0, blocks).flatten(0, 1).narrow(0, 0, count);
        return stack([Read(cache.Keys), Read(cache.Values)]).MoveToOuterDisposeScope();
    }

    /// <summary>Copies blocks; no block is both read and written.</summary>
    /// <param name="copies">Blocks to read, and blocks to write.</param>
    public void Copy(IReadOnlyList<(int From, int To)> copies)
    {
        if (copies.Count == 0)
        {
            return;
        }

        using var scope = NewDisposeScope();
        Tensor Index(Device device, Func<(int From, int To), int> part) =>
            HostValues.ToDevice(copies.Select(copy => (long)part(copy)).ToArray(), device);
        var index = tables.ToDictionary(
            table => Place(table.device),
            table => (From: Index(table.device, copy => copy.From), To: Index(table.device, copy => copy.To))
        );
        foreach (var stored in keys.Concat(values))
        {
            using var inner = NewDisposeScope();
            var (from, to) = index[Place(stored.device)];
            stored.index_copy_(0, to, stored.index_select(0, from));
        }
    }

    /// <summary>Changes the numbers of blocks, slots and tokens per slot; what remains keeps its number. Keys and
    /// values are moved layer by layer, so that only one layer at a time exists twice.</summary>
    /// <param name="blocks">Number of blocks; not fewer than before.</param>
    /// <param name="slots">Number of sequences; not fewer than before.</param>
    /// <param name="capacity">Tokens per sequence; not fewer than before, rounded up to whole blocks.</param>
    public void Resize(int blocks, int slots, int capacity)
    {
        using var scope = NewDisposeScope();
        Version++;
        if (blocks > Blocks)
        {
            foreach (var tensors in (Tensor[][])[keys, values])
            {
                for (var layer = 0; layer < tensors.Length; layer++)
                {
                    using var inner = NewDisposeScope();
                    var stored = tensors[layer];
                    var resized = zeros([blocks, .. stored.shape[1..]], stored.dtype, stored.device);
                    resized.narrow(0, 0, Blocks).copy_(stored);
                    tensors[layer] = resized.DetachFromDisposeScope();
                    stored.Dispose();
                }
            }

            Blocks = blocks;
        }

        var (before, held) = (EntriesPerSlot, Slots);
        var old = entries;
        (Slots, Capacity) = (Math.Max(slots, Slots), Math.Max(capacity, Capacity));
        Capacity = CachedBlocks.For(Capacity) * CachedBlocks.Tokens;
        entries = new int[Slots * EntriesPerSlot];
        for (var slot = 0; slot < held; slot++)
        {
            old.AsSpan(slot * before, before).CopyTo(entries.AsSpan(slot * EntriesPerSlot));
        }

        MakeTables([.. tables.Select(table => table.device)]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in keys.Concat(values).Concat(tables))
        {
            tensor.Dispose();
        }
    }

    // Devices of tensors and of plans differ in whether they name the first GPU.
    private static (DeviceType, int) Place(Device device) => (device.type, Math.Max(0, device.index));

    private void MakeTables(IReadOnlyList<Device> devices)
    {
        using var scope = NewDisposeScope();
        changed.Clear();
        tables.ForEach(table => table.Dispose());
        tables.Clear();
        foreach (var device in devices)
        {
            tables.Add(tensor(entries).view(Slots, EntriesPerSlot).to(device).alias().DetachFromDisposeScope());
        }
    }
}
