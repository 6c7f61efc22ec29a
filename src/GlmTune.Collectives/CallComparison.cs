using System.Text;

namespace GlmTune.Collectives;

/// <summary>Compares the calls of two ranks; between processes, by a short text of fixed size.</summary>
internal static class CallComparison
{
    /// <summary>Size of the text of a call, in bytes.</summary>
    public const int Size = 192;

    public static bool Same(CollectiveCall a, CollectiveCall b) =>
        a.Collective == b.Collective
        && a.Type == b.Type
        && a.Root == b.Root
        && a.Label == b.Label
        && a.Group == b.Group
        && (a.Group is not null || Count(a) == Count(b));

    /// <summary>The call as UTF-8, truncated or padded with zeros to <see cref="Size"/> bytes; equal for equal
    /// calls.</summary>
    /// <remarks>Contains the number of elements instead of the shape, because ranks may pass views of different
    /// shapes; and not even that if groups of ranks exchange, whose sizes may differ.</remarks>
    public static byte[] ToBytes(CollectiveCall call)
    {
        var text = (call with { Shape = call.Group is null ? [Count(call)] : [] }).ToString();
        var bytes = new byte[Size];
        Encoding.UTF8.GetEncoder().Convert(text, bytes, flush: true, out _, out _, out _);
        return bytes;
    }

    public static string ToText(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes).TrimEnd('\0');

    /// <summary>The exception for ranks that made different calls.</summary>
    public static string Message(int rank, int worldSize, CollectiveCall mine, int otherRank, string other) =>
        $"{LostRankException.Where(rank, worldSize, mine)}: {mine.Operation} does not match {other} of rank "
        + $"{otherRank}. All ranks must make the same calls in the same order; compare the code paths that led "
        + "here.";

    private static long Count(CollectiveCall call) =>
        call.Shape.Aggregate(1L, static (product, length) => product * length);
}
