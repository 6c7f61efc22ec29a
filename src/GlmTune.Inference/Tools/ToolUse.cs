using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>A call that a model asks for.</summary>
/// <param name="Function">The function that would run.</param>
/// <param name="Arguments">What the model wrote as arguments: a JSON object. Show it as text only; a model can write
/// anything.</param>
public sealed record ToolUse(AIFunction Function, string Arguments)
{
    /// <summary>The function's name.</summary>
    public string Name => Function.Name;
}
