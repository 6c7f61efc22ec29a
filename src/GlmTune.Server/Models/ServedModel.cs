using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>A model that requests can name.</summary>
/// <param name="Id">Its name in requests.</param>
/// <param name="Chat">The chat model.</param>
internal sealed record ServedModel(string Id, ChatModel Chat)
{
    /// <summary>Name of the adapter to apply to its rows of a batch; null for the base model.</summary>
    public string? Adapter { get; init; }

    /// <summary>Id of the base model of an adapter; null for a base model.</summary>
    public string? Parent { get; init; }

    /// <summary>The requests that use it.</summary>
    internal ModelRequests Requests { get; } = new();
}
