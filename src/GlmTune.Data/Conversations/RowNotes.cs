namespace GlmTune.Data.Conversations;

/// <summary>Notes about a file as a whole, each shown once with the number of rows.</summary>
internal sealed class RowNotes
{
    private readonly Dictionary<string, int> keys = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> notes = new(StringComparer.Ordinal);

    /// <summary>The notes about some rows of a file.</summary>
    public static IReadOnlyList<string> Of(string file, IEnumerable<ConversationRow?> rows)
    {
        var notes = new RowNotes();
        foreach (var row in rows.OfType<ConversationRow>())
        {
            notes.Add(row);
        }

        return notes.Lines(file);
    }

    /// <summary>Counts what a row has to note.</summary>
    public void Add(ConversationRow row)
    {
        Count(keys, row.IgnoredKeys);
        Count(notes, row.Notes);
    }

    /// <summary>The notes, each with the number of rows.</summary>
    public IReadOnlyList<string> Lines(string file)
    {
        var result = notes.Select(note => $"{Path.GetFileName(file)}: {note.Key}, in {Rows(note.Value)}.").ToList();
        if (keys.Count > 0)
        {
            var names = keys.OrderByDescending(key => key.Value)
                .ThenBy(key => key.Key, StringComparer.Ordinal)
                .Select(key => $"'{key.Key}' ({Rows(key.Value)})");
            result.Add(
                $"{Path.GetFileName(file)}: ignored keys, which have no effect: "
                    + $"{string.Join(", ", names.Take(12))}"
                    + (keys.Count > 12 ? ", …" : ".")
            );
        }

        return result;
    }

    private static void Count(Dictionary<string, int> counts, IEnumerable<string> found)
    {
        foreach (var each in found)
        {
            counts[each] = counts.GetValueOrDefault(each) + 1;
        }
    }

    private static string Rows(int count) => count == 1 ? "1 row" : $"{count} rows";
}
