namespace GlmTune.Data.Conversations;

/// <summary>Who a message is from; each has a special token of its own.</summary>
public enum Role
{
    /// <summary>Instructions and declared tools; at most one, and first.</summary>
    System,

    /// <summary>The person.</summary>
    User,

    /// <summary>The model; supervised unless a message says otherwise.</summary>
    Assistant,

    /// <summary>The result of a tool call.</summary>
    Observation,
}
