namespace GlmTune.Data.Conversations;

/// <summary>A file of conversations: objects with <c>messages</c>, one per line, over several lines each, or in a JSON
/// array.</summary>
public static class ConversationFile
{
    /// <summary>Streams every row, valid or not, in the order of the file; blank lines are skipped.</summary>
    /// <param name="path">The file.</param>
    /// <param name="parallelism">Number of rows parsed concurrently; the result does not depend on it.</param>
    /// <exception cref="InvalidDataException">The file does not exist. Problems of a row are stored in the
    /// row.</exception>
    public static IEnumerable<ConversationRow> Rows(string path, int parallelism = 1) =>
        Map(path, parallelism, row => row);

    /// <summary>The conversations of a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="badRows">What to do with rows that have a problem.</param>
    /// <exception cref="InvalidDataException">The file does not exist, or rows have problems and the policy is
    /// <see cref="BadRows.Error"/>; the message lists them all.</exception>
    public static List<Conversation> Read(string path, BadRows badRows = BadRows.Error)
    {
        var rows = Rows(path).ToList();
        var problems = rows.SelectMany(row => row.Problems).ToList();
        return problems.Count > 0 && badRows == BadRows.Error
            ? throw DataProblem.Exception(problems)
            : [.. rows.Select(row => row.Conversation).OfType<Conversation>()];
    }

    /// <summary>Parses and processes each row on several threads; results are in the order of the file.</summary>
    internal static IEnumerable<T> Map<T>(
        string path,
        int parallelism,
        Func<ConversationRow, T> map,
        int? maxRows = null,
        CancellationToken stop = default
    )
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(parallelism);
        var entries = EntryFile.Read(path).Take(maxRows ?? int.MaxValue);
        T One(FileEntry entry)
        {
            stop.ThrowIfCancellationRequested();
            return map(ConversationReader.Parse(entry, path));
        }

        return parallelism == 1
            ? entries.Select(One)
            : OrderedWork.Map(entries, parallelism, entry => entry.Text.Length, One, stop);
    }
}
