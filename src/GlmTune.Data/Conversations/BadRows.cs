namespace GlmTune.Data.Conversations;

/// <summary>What is done with rows that have a problem.</summary>
public enum BadRows
{
    /// <summary>All problems of the file are reported together, and nothing is used.</summary>
    Error,

    /// <summary>The row is left out and counted.</summary>
    Skip,
}
