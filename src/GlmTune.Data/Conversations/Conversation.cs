namespace GlmTune.Data.Conversations;

/// <summary>The messages of one row, in order.</summary>
/// <param name="Messages">At least one; a system message must be the first.</param>
public sealed record Conversation(IReadOnlyList<Message> Messages);
