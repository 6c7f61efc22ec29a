using GlmTune.Kernels;
using GlmTune.Kernels.Memory;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Keys and values of earlier tokens, for a fixed number of sequences ("slots") of limited length.</summary>
/// <remarks>Keys are stored rotated. Not thread-safe.</remarks>
internal sealed class KvCache : IDisposable
{
    // A small cache is allocated at once; a large one is rearranged layer by layer, and memory is returned layer by
    // layer.
    private const long OnePieceBytes = 256L << 20;

    private readonly Tensor[] keys;
    private readonly Tensor[] values;

    /// <param name="layers">Number of decoder layers.</param>
    /// <param name="slots">Number of sequences.</param>
    /// <param name="capacity">Tokens per sequence, including virtual ones.</param>
    /// <param name="keyValueHeads">Number of key-value heads, K.</param>
    /// <param name="headDim">Features per head, D.</param>
    /// <param name="type">Type of the model.</param>
    /// <param name="device">Device of the cache.</param>
    public KvCache(int layers, int slots, int capacity, int keyValueHeads, int headDim, ScalarType type, Device device)
    {
        (Slots, Capacity, Device) = (slots, capacity, device);
        long[] shape = [slots, capacity, keyValueHeads, headDim];
        if (2L * layers * shape.Aggregate((a, b) => a * b) * type.ElementSize() <= OnePieceBytes)
        {
            using var all = zeros([2L * layers, .. shape], type, device);
            keys = [.. Enumerable.Range(0, layers).Select(layer => all.select(0, layer).DetachFromDisposeScope())];
            values =
            [
                .. Enumerable.Range(layers, layers).Select(layer => all.select(0, layer).DetachFromDisposeScope()),
            ];
            return;
        }

        keys = [.. Enumerable.Range(0, layers).Select(_ => Make())];
        values = [.. Enumerable.Range(0, layers).Select(_ => Make())];

        Tensor Make() => zeros(shape, type, device).DetachFromDisposeScope();
    }

    /// <param name="layers">Device of each decoder layer.</param>
    /// <param name="slots">Number of sequences.</param>
    /// <param name="capacity">Tokens per sequence, including virtual ones.</param>
    /// <param name="keyValueHeads">Number of key-value heads, K.</param>
    /// <param name="headDim">Features per head, D.</param>
    /// <param name="type">Type of the model.</param>
    public KvCache(
        IReadOnlyList<Device> layers,
        int slots,
        int capacity,
        int keyValueHeads,
        int headDim,
        ScalarType type
    )
    {
        (Slots, Capacity, Device) = (slots, capacity, layers[0]);
        keys = [.. layers.Select(Make)];
        values = [.. layers.Select(Make)];

        Tensor Make(Device device) =>
            zeros([slots, capacity, keyValueHeads, headDim], type, device).DetachFromDisposeScope();
    }

    /// <summary>Number of sequences.</summary>
    public int Slots { get; private set; }

    /// <summary>Tokens per sequence.</summary>
    public int Capacity { get; private set; }

    /// <summary>Number of rearrangements; while it is unchanged, keys and values stay at their addresses.</summary>
    public int Version { get; private set; }

    /// <summary>Device of the cache; of several, that of the first layer.</summary>
    public Device Device { get; }

    /// <summary>Keys of a layer [slots, capacity, K, D]; owned by the cache.</summary>
    public Tensor Keys(int layer) => keys[layer];

    /// <summary>Values of a layer [slots, capacity, K, D]; owned by the cache.</summary>
    public Tensor Values(int layer) => values[layer];

    /// <summary>Writes keys and values to the start of a slot, for a prefix of virtual tokens.</summary>
    /// <param name="layer">Index of the decoder layer.</param>
    /// <param name="slot">The slot.</param>
    /// <param name="prefix">[2, P, K, D].</param>
    public void WriteStart(int layer, int slot, Tensor prefix)
    {
        using var scope = NewDisposeScope();
        var count = prefix.shape[1];
        keys[layer].select(0, slot).narrow(0, 0, count).copy_(prefix[0]);
        values[layer].select(0, slot).narrow(0, 0, count).copy_(prefix[1]);
    }

    /// <summary>Copies the start of one slot to another.</summary>
    /// <param name="from">The slot to read.</param>
    /// <param name="to">The slot to write.</param>
    /// <param name="count">Number of tokens, including virtual ones.</param>
    public void CopyStart(int from, int to, int count)
    {
        using var scope = NewDisposeScope();
        foreach (var tensor in keys.Concat(values))
        {
            tensor.select(0, to).narrow(0, 0, count).copy_(tensor.select(0, from).narrow(0, 0, count));
        }
    }

    /// <summary>Changes the slots and their capacity, layer by layer, so that only one layer at a time exists
    /// twice.</summary>
    /// <param name="from">For each new slot, the old slot whose tokens it takes over; any slot if it is empty.</param>
    /// <param name="capacity">Tokens per sequence, including virtual ones; tokens beyond it are lost.</param>
    public void Rearrange(IReadOnlyList<int> from, int capacity)
    {
        using var scope = NewDisposeScope();
        var index = tensor(from.Select(slot => (long)slot).ToArray());
        var kept = Math.Min(capacity, Capacity);
        foreach (var tensors in (Tensor[][])[keys, values])
        {
            for (var layer = 0; layer < tensors.Length; layer++)
            {
                using var inner = NewDisposeScope();
                var old = tensors[layer];
                var rearranged = zeros([from.Count, capacity, old.shape[2], old.shape[3]], old.dtype, old.device);
                rearranged.narrow(1, 0, kept).copy_(old.narrow(1, 0, kept).index_select(0, index.to(old.device)));
                tensors[layer] = rearranged.DetachFromDisposeScope();
                old.Dispose();
            }
        }

        (Slots, Capacity) = (from.Count, capacity);
        Version++;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var tensor in keys.Concat(values))
        {
            tensor.Dispose();
        }
    }
}

/// <summary>One pass's view of a cache: the slot of each sequence, and the number of tokens in it including the new
/// ones.</summary>
/// <remarks>Its device tensors are created on first use and disposed with it.</remarks>
internal sealed class CacheStep : IDisposable
{
    private readonly int[] slots;
    private readonly int[] added;
    private readonly Device device;
    private Tensor? slotIndex;
    private Tensor? lengths;
    private Tensor? tokenSlots;
    private Tensor? positions;

    /// <param name="cache">The cache.</param>
    /// <param name="slots">Slot of each sequence of the pass.</param>
    /// <param name="before">Number of tokens in each slot before the pass, including virtual ones.</param>
    /// <param name="added">Number of new tokens of each sequence, at least one.</param>
    /// <exception cref="ArgumentException">A slot would overflow.</exception>
    public CacheStep(KvCache cache, IReadOnlyList<int> slots, IReadOnlyList<int> before, IReadOnlyList<int> added)
        : this(cache, slots, before, added, cache.Device) { }

    private CacheStep(
        KvCache cache,
        IReadOnlyList<int> slots,
        IReadOnlyList<int> before,
        IReadOnlyList<int> added,
        Device device
    )
    {
        (Cache, this.slots, Before, this.added, this.device) = (cache, [.. slots], [.. before], [.. added], device);
        for (var i = 0; i < slots.Count; i++)
        {
            if (before[i] + added[i] > cache.Capacity)
            {
                throw new ArgumentException(
                    $"A sequence of {before[i] + added[i]} tokens does not fit the cache of {cache.Capacity}.",
                    nameof(added)
                );
            }
        }

        Longest = Enumerable.Range(0, slots.Count).Max(i => before[i] + added[i]);
        StartsEmpty = before.All(count => count == 0);
    }

    /// <summary>A pass with one new token per sequence whose numbers are already on the device; the tensors then belong
    /// to the step.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="slots">Slot of each sequence, int64 [sequences].</param>
    /// <param name="positions">Tokens in each slot before the pass, int64 [sequences].</param>
    /// <param name="lengths">One more than <paramref name="positions"/>.</param>
    /// <param name="longest">At least the largest of <paramref name="lengths"/>, and at most the cache's
    /// capacity.</param>
    public CacheStep(KvCache cache, Tensor slots, Tensor positions, Tensor lengths, int longest)
    {
        (Cache, Longest, this.slots, Before, added, device) = (cache, longest, [], [], [], cache.Device);
        (slotIndex, tokenSlots, this.positions, this.lengths) = (slots, slots, positions, lengths);
    }

    /// <summary>The cache.</summary>
    public KvCache Cache { get; }

    /// <summary>Slot of each sequence, int64 [sequences].</summary>
    public Tensor Slots => slotIndex ??= OnDevice(slots.Select(slot => (long)slot));

    /// <summary>Number of cached tokens of each sequence, including the new ones, int64 [sequences].</summary>
    public Tensor Lengths => lengths ??= OnDevice(Before.Zip(added, (old, more) => (long)old + more));

    /// <summary>Slot of each new token, int64 [N].</summary>
    public Tensor TokenSlots =>
        tokenSlots ??= OnDevice(slots.SelectMany((slot, i) => Enumerable.Repeat((long)slot, added[i])));

    /// <summary>Position of each new token in its slot, int64 [N].</summary>
    public Tensor Positions =>
        positions ??= OnDevice(
            Before.SelectMany((count, i) => Enumerable.Range(count, added[i]).Select(position => (long)position))
        );

    /// <summary>The largest of <see cref="Lengths"/>, or an upper bound of it.</summary>
    public int Longest { get; }

    /// <summary>Whether no sequence had cached tokens: the new tokens see only each other.</summary>
    public bool StartsEmpty { get; }

    /// <summary>Number of tokens of each sequence cached before the pass, including virtual ones.</summary>
    public IReadOnlyList<int> Before { get; }

    /// <summary>The same view with its tensors on another device, for the layers there; the caller disposes
    /// it.</summary>
    internal CacheStep On(Device other) => new(Cache, slots, Before, added, other);

    /// <summary>Stores the keys and values of the new tokens.</summary>
    /// <param name="layer">Index of the decoder layer.</param>
    /// <param name="keys">[N, K·D].</param>
    /// <param name="values">[N, K·D].</param>
    public void Store(int layer, Tensor keys, Tensor values)
    {
        using var scope = NewDisposeScope();
        var rows = TokenSlots.Multiply(Cache.Capacity).Add(Positions);
        Cache.Keys(layer).view(-1, keys.shape[1]).index_copy_(0, rows, keys);
        Cache.Values(layer).view(-1, values.shape[1]).index_copy_(0, rows, values);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        slotIndex?.Dispose();
        lengths?.Dispose();
        tokenSlots?.Dispose();
        positions?.Dispose();
    }

    private Tensor OnDevice(IEnumerable<long> values) =>
        HostValues.ToDevice(values.ToArray(), device).DetachFromDisposeScope();
}
