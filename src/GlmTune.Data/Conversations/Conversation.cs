namespace GlmTune.Data.Conversations;

/// <summary>The messages of one row, in order.</summary>
/// <param name="Messages">At least one; a system message, if there is one, is first.</param>
public sealed record Conversation(IReadOnlyList<Message> Messages);
