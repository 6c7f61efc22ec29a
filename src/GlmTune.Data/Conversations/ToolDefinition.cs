namespace GlmTune.Data.Conversations;

/// <summary>A tool that a system message declares.</summary>
/// <param name="Type"><c>function</c>, or one of the model's own tools: <c>python</c>, <c>simple_browser</c>, <c>cogview</c>.</param>
/// <param name="Name">The function's name; the type for the model's own tools.</param>
/// <param name="Json">What the prompt shows of a function: the raw JSON of its object, keys in the file's order; empty for the model's own tools.</param>
public sealed record ToolDefinition(string Type, string Name, string Json);
