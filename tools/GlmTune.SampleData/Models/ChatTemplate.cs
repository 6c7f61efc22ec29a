namespace GlmTune.SampleData.Models;

/// <summary>The chat template (Jinja) of the nano model: GLM-4's protocol for roles, function tools and tool
/// calls.</summary>
/// <remarks>
/// The preamble's text is part of the protocol: GlmTune puts the same text before the tools when it trains. Line breaks
/// are put inside expressions, where no setting of the template engine can eat them. GLM-4's built-in tools are left
/// out; nano never saw them. </remarks>
internal static class ChatTemplate
{
    /// <summary>What a system message with tools begins with.</summary>
    public const string ToolPreamble =
        "你是一个名为 GLM-4 的人工智能助手。你是基于智谱AI训练的语言模型 GLM-4 模型开发的，你的任务是针对用户的问题和要求提供适当的答复和支持。\n\n# 可用工具";

    /// <summary>What follows each tool's JSON.</summary>
    public const string AfterTool = "在调用上述函数时，请使用 Json 格式表示调用的参数。";

    /// <summary>The template.</summary>
    public static string Jinja { get; } =
        string.Concat(
            "{{- '[gMASK]<sop>' -}}",
            "{%- for message in messages -%}",
            "{%- if message.tools -%}",
            $"{{{{- '<|system|>\\n{Escape(ToolPreamble)}' -}}}}",
            "{%- for tool in message.tools if tool.type == 'function' -%}",
            $"{{{{- '\\n\\n## ' + tool.function.name + '\\n\\n' + tool.function | tojson(indent=4) + '\\n{AfterTool}' "
                + $"-}}}}",
            "{%- endfor -%}",
            "{%- endif -%}",
            "{%- if message.content -%}",
            "{{- '<|' + message.role + '|>' + (message.metadata or '') + '\\n' + message.content -}}",
            "{%- endif -%}",
            "{%- endfor -%}",
            "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
        );

    private static string Escape(string text) => text.Replace("\n", "\\n", StringComparison.Ordinal);
}
