namespace GlmTune.Data.Templates;

/// <summary>A revision of a chat template of the GLM-4 family; an adapter should be used with the revision it was
/// trained with.</summary>
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
    /// <summary>Whether tools and system messages come before all other messages, and a message's header and content
    /// are encoded together, as from GLM-4-0414 on.</summary>
    public bool PutsSystemFirst { get; init; }

    /// <summary>Whether the prompt for an answer ends with <c>&lt;think&gt;</c>, and earlier answers are shown without
    /// their thoughts.</summary>
    public bool Thinks { get; init; }

    /// <summary>The system message of a conversation that has none; empty: none is added.</summary>
    public string DefaultSystem { get; init; } = "";

    /// <summary>The text before the tools; null: that of GLM-4, with <see cref="AssistantName"/>.</summary>
    internal string? ToolIntroduction { get; init; }

    /// <summary>Number of newlines before the first tool's heading.</summary>
    internal int NewlinesBeforeFirstTool { get; init; } = NewlinesBeforeTool;

    /// <summary>Whether it is for ChatGLM3's SentencePiece tokenizer: tools are a JSON list in the system message, and
    /// calls are Python.</summary>
    internal bool IsOfChatGlm3 { get; init; }

    /// <summary>Whether it has GLM-4's own frame, so that another revision of it may take its place.</summary>
    internal bool IsOfGlm4 => !PutsSystemFirst && DefaultSystem.Length == 0 && !IsOfChatGlm3;

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

    /// <summary>GLM-4-9B-0414 and GLM-4-32B-0414: tools follow a bare heading.</summary>
    public static TemplatePreset April2025 { get; } =
        new("glm-4-0414", "", true, 1, false)
        {
            PutsSystemFirst = true,
            ToolIntroduction = ToolBlock.Heading,
            NewlinesBeforeFirstTool = 2,
        };

    /// <summary>GLM-Z1-9B-0414 and GLM-Z1-32B-0414: as <see cref="April2025"/>, with thoughts before
    /// answers.</summary>
    public static TemplatePreset Z1 { get; } =
        new("glm-z1-0414", "ChatGLM", true, 1, false)
        {
            PutsSystemFirst = true,
            Thinks = true,
            ToolIntroduction =
                "你是一个名为 ChatGLM 的人工智能助手。你是基于智谱 AI 公司训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。"
                + $"\n\n{ToolBlock.Heading}",
        };

    /// <summary>CodeGeeX4-ALL-9B: GLM-4's format with a system message of its own.</summary>
    public static TemplatePreset CodeGeeX4 { get; } =
        new("codegeex4", "GLM-4", true, 2, false)
        {
            DefaultSystem =
                "你是一位智能编程助手，你叫CodeGeeX。你会为用户回答关于编程、代码、计算机方面的任何问题，并提供格式规范、可以执行、准确安全的代码，并在必要时提供详细的解释。",
        };

    /// <summary>ChatGLM3-6B.</summary>
    public static TemplatePreset ChatGlm3 { get; } =
        new("chatglm3", "", false, 0, false)
        {
            IsOfChatGlm3 = true,
            ToolIntroduction =
                "Answer the following questions as best as you can. You have access to the following tools:",
        };

    /// <summary>All presets, <see cref="Default"/> first.</summary>
    public static IReadOnlyList<TemplatePreset> All { get; } =
    [Default, June2024, Mid2024, Late2024, Vision, April2025, Z1, CodeGeeX4, ChatGlm3];

    /// <summary>No preset: the chat template in the model's own files is run.</summary>
    public static TemplatePreset Model { get; } = new("model", "", false, 0, true);

    /// <summary>The default choice: <see cref="ChatGlm3"/> for a model with ChatGLM3's kind of tokenizer,
    /// <see cref="Default"/> for one of GLM-4's format, another preset that writes
    /// what the chat template in the model's files writes, or <see cref="Model"/>.</summary>
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
