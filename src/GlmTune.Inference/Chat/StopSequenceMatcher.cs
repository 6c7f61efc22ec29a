using System.Text;

namespace GlmTune.Inference;

/// <summary>Streams text until the first of several stop sequences; holds back text that may be the start of
/// one.</summary>
/// <remarks>The first stop sequence is the one that is complete first; of those that end at the same position, the
/// longest. The division of the text into pieces therefore does not matter. Not thread-safe: use one per
/// answer.</remarks>
/// <param name="stops">The stop sequences, none of them empty.</param>
internal sealed class StopSequenceMatcher(IReadOnlyList<string> stops)
{
    private readonly StringBuilder held = new(); // Shorter than the longest stop sequence.

    /// <summary>Whether a stop sequence was found; later text is ignored.</summary>
    public bool Stopped { get; private set; }

    /// <summary>Adds text.</summary>
    /// <param name="text">The new text.</param>
    /// <param name="last">Whether it is the end of the text, so that nothing is held back.</param>
    /// <returns>The text that is certain now.</returns>
    public string Add(string text, bool last = false)
    {
        if (Stopped)
        {
            return "";
        }

        if (stops.Count == 0)
        {
            return text;
        }

        var all = held.Append(text).ToString();
        var (start, end) = (all.Length, int.MaxValue);
        foreach (var stop in stops)
        {
            var found = all.IndexOf(stop, StringComparison.Ordinal);
            if (found >= 0 && (found + stop.Length, found).CompareTo((end, start)) < 0)
            {
                (start, end, Stopped) = (found, found + stop.Length, true);
            }
        }

        if (!Stopped && !last)
        {
            start -= stops.Max(stop => Overlap(all, stop));
        }

        held.Remove(0, start);
        return all[..start];
    }

    // The longest suffix of the text that is a prefix of a stop sequence.
    private static int Overlap(string text, string stop)
    {
        for (var length = Math.Min(text.Length, stop.Length - 1); length > 0; length--)
        {
            if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length)))
            {
                return length;
            }
        }

        return 0;
    }
}
