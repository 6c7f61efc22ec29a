namespace GlmTune.Data.Conversations;

/// <summary>One entry of a data file, not parsed yet.</summary>
/// <param name="Place">Position in the file.</param>
/// <param name="Text">The entry as UTF-8.</param>
/// <param name="Problem">Why it cannot be read at all; null if it can.</param>
internal readonly record struct FileEntry(RowPlace Place, byte[] Text, string? Problem = null)
{
    /// <summary>Why a row that is too long is not read.</summary>
    public static string TooLong { get; } =
        $"the row has more than {JsonLines.MaxBytes >> 20} MiB, the maximum for a row. Shorten it, or remove it.";
}
