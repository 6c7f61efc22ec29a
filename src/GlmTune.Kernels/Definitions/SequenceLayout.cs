using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Definitions;

/// <summary>Where sequences start and end among N concatenated tokens, without padding.</summary>
/// <remarks>The whole model works on such concatenations: a padded batch, a packed row and a single prompt differ only
/// in this object. Its device tensors are created on first use and disposed with it. Not thread-safe.</remarks>
internal sealed class SequenceLayout : IDisposable
{
    private int[] starts;
    private Tensor? cumulative;
    private Tensor? cumulativeKeys;
    private int cumulativeKeysFor;
    private Tensor? padIndex;
    private Tensor? unpadIndex;

    /// <param name="starts">Start of each sequence, followed by N; [sequences + 1], from 0, strictly
    /// increasing.</param>
    /// <param name="device">Device of the device tensors.</param>
    /// <exception cref="ArgumentException">The starts do not increase from 0.</exception>
    public SequenceLayout(IReadOnlyList<int> starts, Device device)
    {
        if (starts.Count < 2 || starts[0] != 0 || starts.Zip(starts.Skip(1)).Any(pair => pair.First >= pair.Second))
        {
            throw new ArgumentException(
                $"Sequence starts must increase from 0; found {string.Join(", ", starts.Take(16))}.",
                nameof(starts)
            );
        }

        this.starts = [.. starts];
        Device = device;
        Longest = Enumerable.Range(0, Count).Max(LengthOf);
        Uniform = Enumerable.Range(0, Count).All(i => LengthOf(i) == Longest);
    }

    private SequenceLayout(int tokens, int sequences, Tensor cumulative, Tensor? cumulativeKeys, int virtualTokens)
    {
        starts = new int[sequences + 1];
        Array.Fill(starts, tokens, 1, sequences);
        (Device, Longest) = (cumulative.device, tokens);
        this.cumulative = cumulative.alias().DetachFromDisposeScope();
        this.cumulativeKeys = cumulativeKeys?.alias().DetachFromDisposeScope();
        cumulativeKeysFor = virtualTokens;
    }

    /// <summary>A fixed number of tokens whose sequences change between replays of a captured graph, which reads where
    /// they start from device memory.</summary>
    /// <param name="tokens">Number of tokens, N.</param>
    /// <param name="sequences">Number of sequences; some may be empty.</param>
    /// <param name="cumulative">int32 [sequences + 1]; owned and filled by the caller.</param>
    /// <param name="cumulativeKeys">The same with <paramref name="virtualTokens"/> before each sequence; owned and
    /// filled by the caller. Null without virtual tokens.</param>
    /// <param name="virtualTokens">Number of virtual tokens.</param>
    public static SequenceLayout OfStored(
        int tokens,
        int sequences,
        Tensor cumulative,
        Tensor? cumulativeKeys = null,
        int virtualTokens = 0
    ) => new(tokens, sequences, cumulative, cumulativeKeys, virtualTokens);

    /// <summary>For a layout from <see cref="OfStored"/>: sets the current contents of the memory, for operators that
    /// need them on the host.</summary>
    /// <param name="given">Start of each sequence, followed by N, non-decreasing; as many as before.</param>
    /// <remarks>Indices created before get their new values in place, where captured graphs read them.</remarks>
    public void Update(ReadOnlySpan<int> given)
    {
        starts = given.ToArray();
        Refill(padIndex, MakePadIndex);
        Refill(unpadIndex, MakeUnpadIndex);
    }

    /// <summary>Rows of equal length T each.</summary>
    public static SequenceLayout OfRows(int rows, int length, Device device) =>
        new([.. Enumerable.Range(0, rows + 1).Select(row => row * length)], device);

    /// <summary>Device of the device tensors.</summary>
    public Device Device { get; }

    /// <summary>Total number of tokens, N.</summary>
    public int Tokens => starts[^1];

    /// <summary>Number of sequences.</summary>
    public int Count => starts.Length - 1;

    /// <summary>Length of the longest sequence in tokens; for a layout from <see cref="OfStored"/>, the maximum
    /// possible.</summary>
    public int Longest { get; }

    /// <summary>Whether all sequences have the same length, so that the tokens form a dense [Count, Longest]
    /// block.</summary>
    public bool Uniform { get; }

    /// <summary>Start of each sequence, followed by N.</summary>
    public IReadOnlyList<int> Starts => starts;

    /// <summary>Length of sequence <paramref name="index"/> in tokens.</summary>
    public int LengthOf(int index) => starts[index + 1] - starts[index];

    /// <summary>The starts as int32 [Count + 1] on the device, as variable-length attention requires. Owned by the
    /// layout.</summary>
    public Tensor Cumulative => cumulative ??= HostValues.ToDevice(starts, Device).DetachFromDisposeScope();

    /// <summary>The starts of the sequences' keys with <paramref name="virtualTokens"/> before each; like
    /// <see cref="Cumulative"/>.</summary>
    public Tensor CumulativeKeys(int virtualTokens)
    {
        if (virtualTokens == 0)
        {
            return Cumulative;
        }

        if (cumulativeKeys is null || cumulativeKeysFor != virtualTokens)
        {
            cumulativeKeys?.Dispose();
            cumulativeKeys = HostValues
                .ToDevice(starts.Select((start, i) => start + (i * virtualTokens)).ToArray(), Device)
                .DetachFromDisposeScope();
            cumulativeKeysFor = virtualTokens;
        }

        return cumulativeKeys;
    }

    /// <summary>For each position of a right-padded [Count, Longest] block, the index of its token (padding: token 0),
    /// int64. Owned by the layout.</summary>
    public Tensor PadIndex => padIndex ??= MakePadIndex();

    /// <summary>For each token, its index in the right-padded [Count, Longest] block, int64 [N]. Owned by the
    /// layout.</summary>
    public Tensor UnpadIndex => unpadIndex ??= MakeUnpadIndex();

    /// <summary>Position of each token in its own sequence, from 0; [N].</summary>
    public int[] Positions()
    {
        var positions = new int[Tokens];
        for (var i = 0; i < Count; i++)
        {
            for (var t = 0; t < LengthOf(i); t++)
            {
                positions[starts[i] + t] = t;
            }
        }

        return positions;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        cumulative?.Dispose();
        cumulativeKeys?.Dispose();
        padIndex?.Dispose();
        unpadIndex?.Dispose();
    }

    private static void Refill(Tensor? index, Func<Tensor> make)
    {
        if (index is not null)
        {
            using var now = make();
            index.copy_(now);
        }
    }

    private Tensor MakePadIndex()
    {
        var index = new long[Count * Longest];
        for (var i = 0; i < Count; i++)
        {
            for (var t = 0; t < LengthOf(i); t++)
            {
                index[(i * Longest) + t] = starts[i] + t;
            }
        }

        return HostValues.ToDevice(index, Device).DetachFromDisposeScope();
    }

    private Tensor MakeUnpadIndex()
    {
        var index = new long[Tokens];
        for (var i = 0; i < Count; i++)
        {
            for (var t = 0; t < LengthOf(i); t++)
            {
                index[starts[i] + t] = (i * Longest) + t;
            }
        }

        return HostValues.ToDevice(index, Device).DetachFromDisposeScope();
    }
}
