namespace GlmTune.Data.Conversations;

/// <summary>One message of a conversation.</summary>
/// <param name="Role">The author.</param>
/// <param name="Content">The text; a message with empty content adds no tokens (but its tools do).</param>
public sealed record Message(Role Role, string Content)
{
    /// <summary>The text between the role token and the newline: the tool's name in a call in GLM-4's own style,
    /// otherwise empty.</summary>
    public string Metadata { get; init; } = "";

    /// <summary>The tools that a system message declares, in order; empty for other roles.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>The thoughts before an assistant's text, from the row's <c>reasoning_content</c>; empty if there are
    /// none. Only templates of reasoning models can write them.</summary>
    public string Reasoning { get; init; } = "";

    /// <summary>Whether the message is supervised, from the row's <c>loss</c>; null: assistant messages are.</summary>
    public bool? Loss { get; init; }

    /// <summary><see cref="Loss"/>, or the default of the role.</summary>
    public bool IsSupervised => Loss ?? Role == Role.Assistant;
}
