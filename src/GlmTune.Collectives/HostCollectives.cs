using System.Runtime.InteropServices;
using System.Text;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>Collectives for small values in host memory: counts, norms, evaluation results. Each call waits for all
/// ranks.</summary>
internal static class HostCollectives
{
    /// <summary>Element-wise sum over the ranks, added in rank order; identical bits on each rank.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="values">This rank's values; equally many on each rank.</param>
    /// <param name="label">Where in the run it is called.</param>
    public static double[] Sum(this ICollectives ranks, ReadOnlySpan<double> values, CallLabel label = default) =>
        Fold(ranks.GatherDoubles(values, label), static (a, b) => a + b);

    /// <summary>Sum of a value over the ranks, as in
    /// <see cref="Sum(ICollectives, ReadOnlySpan{double}, CallLabel)"/>.</summary>
    public static double Sum(this ICollectives ranks, double value, CallLabel label = default) =>
        ranks.Sum([value], label)[0];

    /// <summary>Exact sum of a count over the ranks.</summary>
    /// <exception cref="OverflowException">The sum does not fit 64 bits.</exception>
    public static long Sum(this ICollectives ranks, long value, CallLabel label = default)
    {
        var counts = Array.ConvertAll(
            ranks.GatherDoubles([BitConverter.Int64BitsToDouble(value)], label),
            one => BitConverter.DoubleToInt64Bits(one[0])
        );
        return counts.Aggregate(0L, static (a, b) => checked(a + b));
    }

    /// <summary>Element-wise maximum over the ranks; NaN if any rank has NaN.</summary>
    public static double[] Max(this ICollectives ranks, ReadOnlySpan<double> values, CallLabel label = default) =>
        Fold(ranks.GatherDoubles(values, label), Math.Max);

    /// <summary>Maximum of a value over the ranks; NaN if any rank has NaN.</summary>
    public static double Max(this ICollectives ranks, double value, CallLabel label = default) =>
        ranks.Max([value], label)[0];

    /// <summary>Whether a condition is true on any rank.</summary>
    public static bool Any(this ICollectives ranks, bool value, CallLabel label = default) =>
        ranks.Max(value ? 1 : 0, label) > 0;

    /// <summary>Gathers the values of all ranks, bit for bit.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="values">This rank's values; equally many on each rank.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <returns>Rank 0's values, then rank 1's, and so on.</returns>
    public static double[][] GatherDoubles(
        this ICollectives ranks,
        ReadOnlySpan<double> values,
        CallLabel label = default
    ) =>
        Array.ConvertAll(
            GatherEqualLengths(ranks, MemoryMarshal.AsBytes(values).ToArray(), label),
            bytes => MemoryMarshal.Cast<byte, double>(bytes).ToArray()
        );

    /// <summary>Gathers the bytes of all ranks.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="bytes">This rank's bytes; the length may differ between ranks.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <returns>Rank 0's bytes, then rank 1's, and so on.</returns>
    /// <remarks>Each rank needs memory for <see cref="ICollectives.WorldSize"/> times the longest.</remarks>
    public static byte[][] GatherBytes(this ICollectives ranks, byte[] bytes, CallLabel label = default)
    {
        var lengths = Array.ConvertAll(ranks.GatherDoubles([bytes.Length], label), one => (int)one[0]);
        var longest = lengths.Max();
        var padded = new byte[longest];
        bytes.CopyTo(padded, 0);
        return [.. GatherEqualLengths(ranks, padded, label).Zip(lengths, (whole, length) => whole[..length])];
    }

    /// <summary>Gathers the strings of all ranks, in rank order; each rank's strings keep their order.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="strings">This rank's strings; the number may differ between ranks.</param>
    /// <param name="label">Where in the run it is called.</param>
    public static string[][] GatherStrings(
        this ICollectives ranks,
        IReadOnlyList<string> strings,
        CallLabel label = default
    )
    {
        using var packed = new MemoryStream();
        using (var writer = new BinaryWriter(packed, Encoding.UTF8, leaveOpen: true))
        {
            writer.Write(strings.Count);
            foreach (var text in strings)
            {
                writer.Write(text);
            }
        }

        return Array.ConvertAll(ranks.GatherBytes(packed.ToArray(), label), Unpack);
    }

    /// <summary>Runs on every rank an action that may fail on one, and then fails on all.</summary>
    /// <param name="ranks">The ranks.</param>
    /// <param name="act">The action; it must not call collectives, because a failed rank would not join them.</param>
    /// <param name="isExpected">Whether an exception is shared with the other ranks; others propagate
    /// unchanged.</param>
    /// <param name="label">Where in the run it is called.</param>
    /// <exception cref="SharedFailureException">The action failed on some rank; thrown on all ranks, with the messages
    /// of those that failed.</exception>
    /// <remarks>A single rank rethrows the original exception.</remarks>
    public static T RunOnAllOrFail<T>(
        this ICollectives ranks,
        Func<T> act,
        Func<Exception, bool> isExpected,
        CallLabel label = default
    )
    {
        if (ranks.WorldSize == 1)
        {
            return act();
        }

        var (result, own) = (default(T), default(Exception));
        try
        {
            result = act();
        }
        catch (Exception error) when (isExpected(error))
        {
            own = error;
        }

        string[] said =
        [
            .. ranks.GatherStrings(own is null ? [] : [own.Message], label).Select(one => one.FirstOrDefault() ?? ""),
        ];
        return Array.TrueForAll(said, one => one.Length == 0)
            ? result!
            : throw new SharedFailureException(SharedFailureException.Join(said), own);
    }

    private static byte[][] GatherEqualLengths(ICollectives ranks, byte[] bytes, CallLabel label)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var mine = tensor(bytes, ScalarType.Byte, ranks.Device);
        var all = zeros([ranks.WorldSize, bytes.Length], ScalarType.Byte, ranks.Device);
        ranks.AllGather(mine, all, label).Wait();
        var onHost = all.cpu();
        return
        [
            .. Enumerable
                .Range(0, ranks.WorldSize)
                .Select(rank => bytes.Length == 0 ? [] : onHost[rank].bytes.ToArray()),
        ];
    }

    private static string[] Unpack(byte[] bytes)
    {
        using var reader = new BinaryReader(new MemoryStream(bytes), Encoding.UTF8);
        var texts = new string[reader.ReadInt32()];
        for (var i = 0; i < texts.Length; i++)
        {
            texts[i] = reader.ReadString();
        }

        return texts;
    }

    private static double[] Fold(double[][] ranks, Func<double, double, double> join) =>
        ranks.Aggregate((total, next) => [.. total.Zip(next, join)]);
}
