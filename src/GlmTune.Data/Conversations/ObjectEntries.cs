namespace GlmTune.Data.Conversations;

/// <summary>Entries of a file that is not an array: one per line, or objects over several lines.</summary>
internal static class ObjectEntries
{
    public static IEnumerable<FileEntry> Read(string path)
    {
        // Lines are joined while an object is open. If that fails, the file is damaged; from there on each line is a
        // row, so that every damaged row is reported with its line number.
        var joins = true;
        using var lines = JsonLines.Read(path).GetEnumerator();
        while (lines.MoveNext())
        {
            var first = lines.Current;
            var counter = new BracketCounter();
            if (joins && !first.IsTooLong)
            {
                counter.Add(first.Text);
            }

            if (!GoesOn(counter))
            {
                yield return Entry(first);
                continue;
            }

            List<JsonLine> parts = [first];
            for (var bytes = (long)first.Text.Length; counter.IsOpen && joins;)
            {
                joins = lines.MoveNext() && (bytes += lines.Current.Text.Length) <= JsonLines.MaxBytes;
                if (joins)
                {
                    parts.Add(lines.Current);
                    counter.Add((byte)'\n');
                    counter.Add(lines.Current.Text);
                }
            }

            if (joins)
            {
                yield return new FileEntry(new RowPlace(first.Number), Join(parts));
                continue;
            }

            foreach (var part in parts)
            {
                yield return Entry(part);
            }

            if (lines.Current.Number > parts[^1].Number)
            {
                yield return Entry(lines.Current);
            }
        }
    }

    private static bool GoesOn(BracketCounter counter) =>
        counter is { IsOpen: true, IsInString: false, Last: (byte)'{' or (byte)'[' or (byte)',' or (byte)':' };

    private static FileEntry Entry(JsonLine line) =>
        new(new RowPlace(line.Number), line.Text, line.IsTooLong ? FileEntry.TooLong : null);

    // Blank lines are kept, so that fault positions can be counted.
    private static byte[] Join(List<JsonLine> parts)
    {
        using var text = new MemoryStream();
        var number = parts[0].Number;
        foreach (var part in parts)
        {
            for (; number < part.Number; number++)
            {
                text.WriteByte((byte)'\n');
            }

            text.Write(part.Text);
        }

        return text.ToArray();
    }
}
