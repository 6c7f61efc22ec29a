namespace GlmTune.Data.Templates;

/// <summary>A revision of GLM-4's chat template; an adapter should be used with the revision it was trained
/// with.</summary>
/// <param name="Name">Its name in configuration files.</param>
/// <param name="AssistantName">The assistant's name in the tool preamble.</param>
/// <param name="HasToolHeading">Whether the preamble ends with a heading for the tools.</param>
/// <param name="NewlinesBeforeTool">Number of newlines before each tool's heading.</param>
/// <param name="ParsesSpecialText">Whether special-token text inside content becomes special tokens (which allows
/// injection), because the conversation is first rendered to text; otherwise each part is encoded as plain
/// text.</param>
public sealed record TemplatePreset(
    string Name,
    string AssistantName,
    bool HasToolHeading,
    int NewlinesBeforeTool,
    bool ParsesSpecialText
)
{
    /// <summary>The preset for GLM-4 models: the June 2024 format with the misspelled name corrected.</summary>
    public static TemplatePreset Default { get; } = new("glm-4", "GLM-4", true, 2, false);

    /// <summary>June 2024, built into the tokenizer's code; it misspells the assistant's name.</summary>
    public static TemplatePreset June2024 { get; } = new("glm-4-june-2024", "GhatGLM", true, 2, false);

    /// <summary>Mid 2024: a template string that calls the assistant ChatGLM.</summary>
    public static TemplatePreset Mid2024 { get; } = new("glm-4-mid-2024", "ChatGLM", true, 1, true);

    /// <summary>Late 2024: a template string that calls the assistant GLM-4.</summary>
    public static TemplatePreset Late2024 { get; } = new("glm-4-late-2024", "GLM-4", true, 1, true);

    /// <summary>From the vision model's tokenizer, which has no heading before the tools.</summary>
    public static TemplatePreset Vision { get; } = new("glm-4v", "GLM-4", false, 2, false);

    /// <summary>All presets, <see cref="Default"/> first.</summary>
    public static IReadOnlyList<TemplatePreset> All { get; } = [Default, June2024, Mid2024, Late2024, Vision];

    /// <summary>No preset: the chat template in the model's own files is run.</summary>
    public static TemplatePreset Model { get; } = new("model", "", false, 0, true);

    /// <summary>The default choice: <see cref="Default"/> for a model of GLM-4's format, and <see cref="Model"/> where
    /// the model's files have another chat template.</summary>
    public static TemplatePreset Automatic { get; } = new("auto", "", false, 0, false);

    /// <summary>What a recipe or an option may name: <see cref="Automatic"/>, the presets, and
    /// <see cref="Model"/>.</summary>
    public static IReadOnlyList<TemplatePreset> Choices { get; } = [Automatic, .. All, Model];

    /// <summary>The preset with a given name.</summary>
    /// <exception cref="ArgumentException">There is no such preset; the message lists them all.</exception>
    public static TemplatePreset Named(string name) =>
        Choices.FirstOrDefault(preset => string.Equals(preset.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new ArgumentException(
            $"Unknown template preset '{name}'; expected one of "
                + $"{string.Join(", ", Choices.Select(preset => preset.Name))}.",
            nameof(name)
        );
}
