namespace GlmTune.Data.Conversations;

/// <summary>One turn of a conversation.</summary>
/// <param name="Role">Who speaks.</param>
/// <param name="Content">The text; a message whose content is empty adds no tokens (but its tools do).</param>
public sealed record Message(Role Role, string Content)
{
    /// <summary>What stands between the role token and the newline: the tool's name in a call as GLM-4 writes it, else
    /// empty.</summary>
    public string Metadata { get; init; } = "";

    /// <summary>The tools that a system message declares, in order; empty elsewhere.</summary>
    public IReadOnlyList<ToolDefinition> Tools { get; init; } = [];

    /// <summary>Whether the loss covers the message: the row's own <c>loss</c>; null means that assistant messages
    /// are.</summary>
    public bool? Loss { get; init; }

    /// <summary><see cref="Loss"/>, or its default for the role.</summary>
    public bool IsSupervised => Loss ?? Role == Role.Assistant;
}
