namespace GlmTune.Data.Conversations;

/// <summary>One entry of a data file, not yet parsed.</summary>
/// <param name="Place">Where it is.</param>
/// <param name="Text">UTF-8.</param>
/// <param name="Problem">Why it cannot be read at all, or null.</param>
internal readonly record struct FileEntry(RowPlace Place, byte[] Text, string? Problem = null)
{
    /// <summary>Why a row that is too long is not read.</summary>
    public static string TooLong { get; } =
        $"the row has more than {JsonLines.MaxBytes >> 20} MiB, the most that is read. Shorten it or leave it out.";
}
