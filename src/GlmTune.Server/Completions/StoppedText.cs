using System.Text;

namespace GlmTune.Server;

/// <summary>Text as it comes, ended by the first of some stop texts; holds back what may be the beginning of one.</summary>
internal sealed class StoppedText(IReadOnlyList<string> stops)
{
    private readonly StringBuilder held = new();

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

        held.Append(text);
        var all = held.ToString();
        var end = all.Length;
        foreach (var stop in stops)
        {
            if (all.IndexOf(stop, StringComparison.Ordinal) is >= 0 and var found && found < end)
            {
                (end, Stopped) = (found, true);
            }
        }

        if (!Stopped && !last)
        {
            end -= stops.Select(stop => Overlap(all, stop)).DefaultIfEmpty(0).Max();
        }

        held.Remove(0, end);
        return all[..end];
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
