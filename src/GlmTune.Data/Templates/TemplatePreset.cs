namespace GlmTune.Data.Templates;

/// <summary>A revision of GLM-4's chat format; an adapter should be used with the one it was trained with.</summary>
/// <param name="Name">What configuration files call it.</param>
/// <param name="AssistantName">What the tool preamble calls the assistant.</param>
/// <param name="HasToolHeading">Whether the preamble ends with the heading of the tools.</param>
/// <param name="NewlinesBeforeTool">Newlines before each tool's heading.</param>
/// <param name="ParsesSpecialText">Whether special-token text inside content becomes special tokens (an injection),
/// because the conversation is rendered to text first; otherwise every part is encoded on its own as plain
/// text.</param>
public sealed record TemplatePreset(
    string Name,
    string AssistantName,
    bool HasToolHeading,
    int NewlinesBeforeTool,
    bool ParsesSpecialText
)
{
    /// <summary>The default: the June 2024 format with its misspelt name mended.</summary>
    public static TemplatePreset Default { get; } = new("glm-4", "GLM-4", true, 2, false);

    /// <summary>June 2024, built into the tokenizer's code; it misspells the assistant's name.</summary>
    public static TemplatePreset June2024 { get; } = new("glm-4-june-2024", "GhatGLM", true, 2, false);

    /// <summary>Mid 2024: a template string that names the assistant ChatGLM.</summary>
    public static TemplatePreset Mid2024 { get; } = new("glm-4-mid-2024", "ChatGLM", true, 1, true);

    /// <summary>Late 2024: a template string that names the assistant GLM-4.</summary>
    public static TemplatePreset Late2024 { get; } = new("glm-4-late-2024", "GLM-4", true, 1, true);

    /// <summary>The vision model's tokenizer, which has no heading before the tools.</summary>
    public static TemplatePreset Vision { get; } = new("glm-4v", "GLM-4", false, 2, false);

    /// <summary>All presets, the default first.</summary>
    public static IReadOnlyList<TemplatePreset> All { get; } = [Default, June2024, Mid2024, Late2024, Vision];

    /// <summary>The preset of that name.</summary>
    /// <exception cref="ArgumentException">There is none; the message lists them.</exception>
    public static TemplatePreset Named(string name) =>
        All.FirstOrDefault(preset => string.Equals(preset.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new ArgumentException(
            $"Unknown template preset '{name}'; expected one of "
                + $"{string.Join(", ", All.Select(preset => preset.Name))}.",
            nameof(name)
        );
}
