using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>One pass's view of a cache: the slot of each sequence, and the number of tokens in it including the new
/// ones.</summary>
/// <remarks>Its device tensors are created on first use and disposed with it. A pass may mix sequences with one new
/// token and others; those with one come first.</remarks>
internal sealed class CacheStep : IDisposable
{
    private readonly int[] slots;
    private readonly int[] added;
    private readonly Device device;
    private CachedSequences? sequences;
    private SequenceLayout? layout;
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
    /// <param name="uneven">Whether some sequences are much longer than most.</param>
    public CacheStep(KvCache cache, Tensor slots, Tensor positions, Tensor lengths, int longest, bool uneven)
    {
        (Cache, this.slots, Before, added, device) = (cache, [], [], [], cache.Device);
        (slotIndex, tokenSlots, this.positions, this.lengths) = (slots, slots, positions, lengths);
        sequences = new CachedSequences(slots, lengths, longest, uneven);
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

    /// <summary>The sequences, as attention needs them.</summary>
    public CachedSequences Sequences => sequences ??= MakeSequences();

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
        var cache = Cache.Layer(layer);
        var rows = PlainKernels.RowsOf(cache, TokenSlots, Positions);
        cache.Keys.view(-1, keys.shape[1]).index_copy_(0, rows, keys);
        cache.Values.view(-1, values.shape[1]).index_copy_(0, rows, values);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        sequences?.Dispose();
        layout?.Dispose();
        slotIndex?.Dispose();
        lengths?.Dispose();
        tokenSlots?.Dispose();
        positions?.Dispose();
    }

    private CachedSequences MakeSequences()
    {
        var starts = new int[added.Length + 1];
        for (var i = 0; i < added.Length; i++)
        {
            starts[i + 1] = starts[i] + added[i];
        }

        layout = new SequenceLayout(starts, device);
        return new CachedSequences(layout, [.. Before.Zip(added, (old, more) => old + more)], Slots, Lengths);
    }

    private Tensor OnDevice(IEnumerable<long> values) =>
        HostValues.ToDevice(values.ToArray(), device).DetachFromDisposeScope();
}
