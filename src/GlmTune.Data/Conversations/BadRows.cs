namespace GlmTune.Data.Conversations;

/// <summary>What to do with rows that have a problem.</summary>
public enum BadRows
{
    /// <summary>All problems of the file are reported together, and the file is not used.</summary>
    Error,

    /// <summary>The row is skipped and counted.</summary>
    Skip,
}
