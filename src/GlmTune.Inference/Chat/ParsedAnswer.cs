using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>A message of the model, and the call that it makes.</summary>
/// <param name="Message">As a conversation keeps it: content stripped, a call as the model wrote it, with a fence
/// around it if it set one.</param>
/// <param name="Call">The call, its arguments a JSON object, or null for text.</param>
public sealed record ParsedAnswer(Message Message, ToolCall? Call);
