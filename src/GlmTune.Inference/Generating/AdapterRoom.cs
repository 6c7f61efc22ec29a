namespace GlmTune.Inference;

/// <summary>Whether the adapter of another row may be on the device beside those of the rows in a batch.</summary>
/// <remarks>A row whose adapter has no room waits, and those behind it wait with it, so that no adapter waits for ever
/// because others are asked for more often.</remarks>
internal static class AdapterRoom
{
    /// <summary>Whether it may.</summary>
    /// <param name="row">The row that would enter.</param>
    /// <param name="active">The rows in the batch.</param>
    /// <param name="most">Most low-rank adapters at once; null: any number.</param>
    public static bool IsThereFor(GenerationRow row, IReadOnlyList<GenerationRow> active, int? most) =>
        most is null
        || row.Adapter is not { IsLowRank: true } adapter
        || active.Any(other => other.Adapter == adapter)
        || active.Select(other => other.Adapter).Where(other => other is { IsLowRank: true }).Distinct().Count() < most;
}
