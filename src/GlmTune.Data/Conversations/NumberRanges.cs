namespace GlmTune.Data.Conversations;

/// <summary>A set of numbers, kept as ranges.</summary>
internal sealed class NumberRanges
{
    private readonly List<(int From, int To)> ranges = [];

    /// <summary>How many numbers there are.</summary>
    public int Count { get; private set; }

    /// <summary>The ranges in ascending order; both ends belong to them, and no two touch.</summary>
    public IReadOnlyList<(int From, int To)> Ranges => ranges;

    /// <summary>Adds a number, if it is not in the set. Numbers in ascending order take no searching.</summary>
    public void Add(int number)
    {
        var at = ranges.Count;
        while (at > 0 && ranges[at - 1].From > number)
        {
            at--;
        }

        // Range at - 1 starts at or before the number, and range at after it.
        if (at > 0 && number <= ranges[at - 1].To)
        {
            return;
        }

        Count++;
        var joinsBefore = at > 0 && ranges[at - 1].To + 1 == number;
        var joinsAfter = at < ranges.Count && ranges[at].From - 1 == number;
        if (joinsBefore && joinsAfter)
        {
            ranges[at - 1] = (ranges[at - 1].From, ranges[at].To);
            ranges.RemoveAt(at);
        }
        else if (joinsBefore)
        {
            ranges[at - 1] = (ranges[at - 1].From, number);
        }
        else if (joinsAfter)
        {
            ranges[at] = (number, ranges[at].To);
        }
        else
        {
            ranges.Insert(at, (number, number));
        }
    }
}
