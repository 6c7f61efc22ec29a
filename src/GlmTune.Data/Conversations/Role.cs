namespace GlmTune.Data.Conversations;

/// <summary>The author of a message; each has its own special token.</summary>
public enum Role
{
    /// <summary>Instructions and declared tools; at most one, and first.</summary>
    System,

    /// <summary>The user.</summary>
    User,

    /// <summary>The model; supervised unless the message says otherwise.</summary>
    Assistant,

    /// <summary>The result of a tool call.</summary>
    Observation,
}
