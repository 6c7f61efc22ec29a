using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>A model that requests can name.</summary>
/// <param name="Id">What requests call it.</param>
/// <param name="Chat">What answers.</param>
public sealed record ServedModel(string Id, ChatModel Chat)
{
    /// <summary>The adapter that its rows of a batch go through, by name; null for the base alone.</summary>
    public string? Adapter { get; init; }

    /// <summary>The id of the model that the adapter changes; null for a base.</summary>
    public string? Parent { get; init; }
}
