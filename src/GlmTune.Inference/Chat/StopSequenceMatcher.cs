using System.Text;

namespace GlmTune.Inference;

/// <summary>Text as it comes, ended by the first of some stop texts; holds back what may be the beginning of
/// one.</summary>
/// <remarks>
/// The first stop text is the one that is whole first; of those that end at the same place, the longest. So it does not
/// matter in which pieces the text comes. Not thread-safe: one for each answer. </remarks>
/// <param name="stops">The stop texts, none of them empty.</param>
public sealed class StopSequenceMatcher(IReadOnlyList<string> stops)
{
    private readonly StringBuilder held = new(); // Shorter than the longest stop text.

    /// <summary>Whether a stop text came; nothing after it counts.</summary>
    public bool Stopped { get; private set; }

    /// <summary>Takes more.</summary>
    /// <param name="text">What came.</param>
    /// <param name="last">Whether nothing more comes, so that nothing is held back.</param>
    /// <returns>What is certain now.</returns>
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

    // The longest end of the text that a stop text begins with.
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
