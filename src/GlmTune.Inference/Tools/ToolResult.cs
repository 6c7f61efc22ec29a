namespace GlmTune.Inference;

/// <summary>A tool's result as the model sees it.</summary>
internal static class ToolResult
{
    /// <summary>Stands for an empty result: the chat template omits empty messages, so the model would otherwise answer
    /// its own call.</summary>
    public const string None = "(no output)";

    /// <summary>The result, or <see cref="None"/> for an empty one.</summary>
    public static string Shown(string result) => result.Length > 0 ? result : None;
}
