namespace GlmTune.Inference;

/// <summary>What the model sees of a tool's result.</summary>
public static class ToolResult
{
    /// <summary>Represents a result without a character: the chat format leaves empty messages out, and the model would
    /// answer its own call.</summary>
    public const string None = "(no output)";

    /// <summary>The result, or <see cref="None"/> for an empty one.</summary>
    public static string Shown(string result) => result.Length > 0 ? result : None;
}
