using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>A call that a model requests.</summary>
/// <param name="Function">The function to run.</param>
/// <param name="Arguments">The arguments as the model wrote them: a JSON object. Show it as text only; a model can
/// write anything.</param>
public sealed record ToolUse(AIFunction Function, string Arguments)
{
    /// <summary>Name of the function.</summary>
    public string Name => Function.Name;
}
