using System.Text;

namespace GlmTune.Collectives;

/// <summary>Whether two ranks make the same call; between processes, by a short text of fixed size.</summary>
internal static class CallComparison
{
    /// <summary>Bytes of the text of a call.</summary>
    public const int Size = 192;

    public static bool Same(CollectiveCall a, CollectiveCall b) =>
        a.Collective == b.Collective
        && a.Type == b.Type
        && a.Root == b.Root
        && a.Label == b.Label
        && Count(a) == Count(b);

    /// <summary>The call as UTF-8, cut or filled with zeros to <see cref="Size"/> bytes; equal for calls that are the
    /// same.</summary>
    /// <remarks>The count represents the shape: views of other shapes may meet.</remarks>
    public static byte[] ToBytes(CollectiveCall call)
    {
        var text = (call with { Shape = [Count(call)] }).ToString();
        var bytes = new byte[Size];
        Encoding.UTF8.GetEncoder().Convert(text, bytes, flush: true, out _, out _, out _);
        return bytes;
    }

    public static string ToText(ReadOnlySpan<byte> bytes) => Encoding.UTF8.GetString(bytes).TrimEnd('\0');

    /// <summary>What the run ends with when ranks met with different calls.</summary>
    public static string Message(int rank, int worldSize, CollectiveCall mine, int otherRank, string other) =>
        $"{LostRankException.Where(rank, worldSize, mine)}: {mine.Operation} does not match {other} of rank "
        + $"{otherRank}. All ranks must make the same calls in the same order; compare the code paths that led "
        + "here.";

    private static long Count(CollectiveCall call) =>
        call.Shape.Aggregate(1L, static (product, length) => product * length);
}
