using System.Text;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>The text that describes the tools to the model: a preamble, then a section for each tool.</summary>
/// <remarks>GLM-4 was trained on this exact wording, so it is part of the format.</remarks>
internal sealed partial class ToolBlock
{
    public const string Heading = "# 可用工具";
    public const string AfterFunction = "在调用上述函数时，请使用 Json 格式表示调用的参数。";

    private readonly TemplatePreset preset;
    private readonly Dictionary<string, string> builtIn = [];

    /// <param name="preset">The revision.</param>
    /// <param name="chatTemplate">The model's own chat template, which contains the sections of its built-in tools;
    /// null if there is none.</param>
    public ToolBlock(TemplatePreset preset, string? chatTemplate)
    {
        this.preset = preset;
        foreach (Match section in BuiltInSection().Matches(chatTemplate ?? ""))
        {
            var text = section.Groups["quoted"] is { Success: true } quoted
                ? JinjaTemplate.Unquote(quoted.Value)
                : section.Groups["text"].Value;
            builtIn.TryAdd(section.Groups["type"].Value, text.TrimStart('\n'));
        }
    }

    /// <summary>The sections of built-in tools in the model's chat template, by type.</summary>
    public IReadOnlyDictionary<string, string> BuiltIn => builtIn;

    public static string Preamble(TemplatePreset preset) =>
        preset.ToolIntroduction
        ?? $"你是一个名为 {preset.AssistantName} 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。"
            + (preset.HasToolHeading ? $"\n\n{Heading}" : "");

    /// <exception cref="InvalidDataException">This model's chat template has no text for a built-in tool.</exception>
    public string Render(IReadOnlyList<ToolDefinition> tools)
    {
        if (preset.IsOfChatGlm3)
        {
            return $"{Preamble(preset)}\n{List(tools)}";
        }

        var text = new StringBuilder(Preamble(preset));
        foreach (var (index, tool) in tools.Index())
        {
            text.Append('\n', index == 0 ? preset.NewlinesBeforeFirstTool : preset.NewlinesBeforeTool)
                .Append(Section(tool));
        }

        return text.ToString();
    }

    /// <summary>The definitions of functions as a JSON list, as ChatGLM3 reads them.</summary>
    /// <exception cref="InvalidDataException">A tool is not a function.</exception>
    public static string List(IReadOnlyList<ToolDefinition> tools) =>
        tools.FirstOrDefault(tool => tool.Type != "function") is { } builtIn
            ? throw new InvalidDataException(
                $"no text for the built-in tool '{builtIn.Type}': ChatGLM3's format has functions only."
            )
            : PythonJson.Rewrite($"[{string.Join(',', tools.Select(tool => tool.Json))}]", indent: 4);

    private string Section(ToolDefinition tool)
    {
        if (tool.Type == "function")
        {
            return $"## {tool.Name}\n\n{PythonJson.Rewrite(tool.Json, indent: 4)}\n{AfterFunction}";
        }

        return builtIn.TryGetValue(tool.Type, out var text)
            ? text
            : throw new InvalidDataException(
                $"no text for the built-in tool '{tool.Type}': the model's tokenizer_config.json has no "
                    + "chat_template with a section for it. Use that file from glm-4-9b-chat."
            );
    }

    // In the model's own template: {% elif tool['type'] == 'python' %}⏎⏎## python … {% elif; in one that we wrote: {%-
    // if tool.type == 'python' -%}{{- '⏎⏎## python …' -}}{%- else.
    [GeneratedRegex(
        @"tool(\[['""]type['""]\]|\.type)\s*==\s*['""](?<type>python|simple_browser|cogview)['""]\s*-?%\}"
            + @"(\{\{- '(?<quoted>([^'\\]|\\.)*)' -\}\}|(?<text>.*?))\{%",
        RegexOptions.Singleline
    )]
    private static partial Regex BuiltInSection();
}
