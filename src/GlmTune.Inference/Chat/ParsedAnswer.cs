using GlmTune.Data.Conversations;

namespace GlmTune.Inference;

/// <summary>A message of the model, with the call that it makes.</summary>
/// <param name="Message">The message for the conversation: stripped content, a call as the model wrote it, with a code
/// fence around it if it wrote one.</param>
/// <param name="Call">The call, with a JSON object as arguments; null for text.</param>
internal sealed record ParsedAnswer(Message Message, ToolCall? Call);
