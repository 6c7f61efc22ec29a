using GlmTune.Kernels;
using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>Keys and values of earlier tokens for a fixed number of sequences ("slots") of limited length.</summary>
/// <remarks>Keys are stored rotated. Not thread-safe.</remarks>
public sealed class KvCache : IDisposable
{
    // A small cache is made at once; of a large one, layers are rearranged one by one and their memory given back one
    // by one.
    private const long OnePieceBytes = 256L << 20;

    private readonly Tensor[] keys;
    private readonly Tensor[] values;

    /// <param name="layers">Decoder layers.</param>
    /// <param name="slots">Sequences at a time.</param>
    /// <param name="capacity">Tokens of a sequence, virtual ones included.</param>
    /// <param name="keyValueHeads">K.</param>
    /// <param name="headDim">D.</param>
    /// <param name="type">Type of the model.</param>
    /// <param name="device">Where it lives.</param>
    public KvCache(int layers, int slots, int capacity, int keyValueHeads, int headDim, ScalarType type, Device device)
    {
        (Slots, Capacity, Device) = (slots, capacity, device);
        long[] shape = [slots, capacity, keyValueHeads, headDim];
        if (2L * layers * shape.Aggregate((a, b) => a * b) * Parameter.BytesOf(type) <= OnePieceBytes)
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

    /// <param name="layers">The device of each decoder layer.</param>
    /// <param name="slots">Sequences at a time.</param>
    /// <param name="capacity">Tokens of a sequence, virtual ones included.</param>
    /// <param name="keyValueHeads">K.</param>
    /// <param name="headDim">D.</param>
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

    /// <summary>Sequences at a time.</summary>
    public int Slots { get; private set; }

    /// <summary>Tokens of a sequence.</summary>
    public int Capacity { get; private set; }

    /// <summary>Counts rearrangements: while it stays, keys and values stay where they are.</summary>
    public int Version { get; private set; }

    /// <summary>Where it lives; of several devices, the first layer's.</summary>
    public Device Device { get; }

    /// <summary>Keys of a layer [slots, capacity, K, D]; owned by the cache.</summary>
    public Tensor Keys(int layer) => keys[layer];

    /// <summary>Values of a layer [slots, capacity, K, D]; owned by the cache.</summary>
    public Tensor Values(int layer) => values[layer];

    /// <summary>Writes keys and values at the start of a slot, as a prefix of virtual tokens does.</summary>
    /// <param name="layer">Decoder layer.</param>
    /// <param name="slot">Sequence.</param>
    /// <param name="prefix">[2, P, K, D].</param>
    public void WriteStart(int layer, int slot, Tensor prefix)
    {
        using var scope = NewDisposeScope();
        var count = prefix.shape[1];
        keys[layer].select(0, slot).narrow(0, 0, count).copy_(prefix[0]);
        values[layer].select(0, slot).narrow(0, 0, count).copy_(prefix[1]);
    }

    /// <summary>Copies the first positions of one slot to another.</summary>
    /// <param name="from">Sequence that is read.</param>
    /// <param name="to">Sequence that is written.</param>
    /// <param name="count">Positions, virtual tokens included.</param>
    public void CopyStart(int from, int to, int count)
    {
        using var scope = NewDisposeScope();
        foreach (var tensor in keys.Concat(values))
        {
            tensor.select(0, to).narrow(0, 0, count).copy_(tensor.select(0, from).narrow(0, 0, count));
        }
    }

    /// <summary>Gives the cache other slots and another length, layer by layer, so that only one layer at a time is
    /// there twice.</summary>
    /// <param name="from">For each new slot, the old one whose tokens it takes over; for an empty one any.</param>
    /// <param name="capacity">Tokens of a sequence, virtual ones included; what lies beyond is lost.</param>
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

/// <summary>One pass's view of the cache: which slot each sequence has, and how many tokens it holds once the new ones
/// are in.</summary>
/// <remarks>Its device tensors are made on first need and disposed with it.</remarks>
public sealed class CacheStep : IDisposable
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
    /// <param name="before">Tokens in each slot before the pass, virtual ones included.</param>
    /// <param name="added">New tokens of each sequence, at least one.</param>
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

    /// <summary>A pass of one new token a sequence whose numbers are on the device already; the tensors pass to the
    /// step.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="slots">Slot of each sequence, int64 [sequences].</param>
    /// <param name="positions">Tokens in each slot before the pass, int64 [sequences].</param>
    /// <param name="lengths">One more than <paramref name="positions"/>.</param>
    /// <param name="longest">At least the largest of <paramref name="lengths"/>, at most the cache's capacity.</param>
    public CacheStep(KvCache cache, Tensor slots, Tensor positions, Tensor lengths, int longest)
    {
        (Cache, Longest, this.slots, Before, added, device) = (cache, longest, [], [], [], cache.Device);
        (slotIndex, tokenSlots, this.positions, this.lengths) = (slots, slots, positions, lengths);
    }

    /// <summary>The cache.</summary>
    public KvCache Cache { get; }

    /// <summary>Slot of each sequence, int64 [sequences].</summary>
    public Tensor Slots => slotIndex ??= OnDevice(slots.Select(slot => (long)slot));

    /// <summary>Cached tokens of each sequence, the new ones included, int64 [sequences].</summary>
    public Tensor Lengths => lengths ??= OnDevice(Before.Zip(added, (old, more) => (long)old + more));

    /// <summary>Slot of each new token, int64 [N].</summary>
    public Tensor TokenSlots =>
        tokenSlots ??= OnDevice(slots.SelectMany((slot, i) => Enumerable.Repeat((long)slot, added[i])));

    /// <summary>Position of each new token in its slot, int64 [N].</summary>
    public Tensor Positions =>
        positions ??= OnDevice(
            Before.SelectMany((count, i) => Enumerable.Range(count, added[i]).Select(position => (long)position))
        );

    /// <summary>The largest of <see cref="Lengths"/>, or what it may grow to.</summary>
    public int Longest { get; }

    /// <summary>Whether no sequence had anything cached: the new tokens see only each other.</summary>
    public bool StartsEmpty { get; }

    /// <summary>Tokens of each sequence cached before the pass, virtual ones included.</summary>
    public IReadOnlyList<int> Before { get; }

    /// <summary>The same view with its tensors on another device, for the layers there; the caller disposes
    /// it.</summary>
    internal CacheStep On(Device other) => new(Cache, slots, Before, added, other);

    /// <summary>Stores the keys and values of the new tokens.</summary>
    /// <param name="layer">Decoder layer.</param>
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
