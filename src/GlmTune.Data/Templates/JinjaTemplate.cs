using System.Text;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Templates;

/// <summary>Writes a preset as the Jinja template that transformers and vLLM read from an exported model.</summary>
/// <remarks>All text is inside expressions, because a line break after a block tag is dropped under the usual settings.
/// The template accepts more than our own files contain, for use by other programs: tools beside the messages,
/// <c>tool_calls</c>, the role <c>tool</c>.</remarks>
internal static partial class JinjaTemplate
{
    /// <param name="preset">The revision.</param>
    /// <param name="builtIn">The sections of the model's built-in tools by type; may be empty.</param>
    public static string Write(TemplatePreset preset, IReadOnlyDictionary<string, string> builtIn)
    {
        if (preset.IsOfChatGlm3)
        {
            return ForChatGlm3(preset);
        }

        var breaks = new string('\n', preset.NewlinesBeforeTool);
        var firstBreaks = new string('\n', preset.NewlinesBeforeFirstTool);
        var heading =
            firstBreaks == breaks
                ? Quote($"{breaks}## ")
                : $"({Quote($"{firstBreaks}## ")} if loop.first else {Quote($"{breaks}## ")})";
        var text = new StringBuilder();
        text.Append("{%- macro declare(tools) -%}")
            .Append(Print("<|system|>\n" + ToolBlock.Preamble(preset)))
            .Append("{%- for tool in tools -%}");
        foreach (var (type, section) in builtIn)
        {
            text.Append($"{{%- if tool.type == '{type}' -%}}{Print(breaks + section)}{{%- else -%}}");
        }

        text.Append("{%- set function = tool.function if tool.function else tool -%}")
            .Append(
                $"{{{{- {heading} + function.name + '\\n\\n' + function | tojson(indent=4) + "
                    + $"{Quote($"\n{ToolBlock.AfterFunction}")} -}}}}"
            )
            .Append(string.Concat(Enumerable.Repeat("{%- endif -%}", builtIn.Count)))
            .Append("{%- endfor -%}{%- endmacro -%}")
            .Append(Print("[gMASK]<sop>"))
            .Append("{%- if tools -%}{{- declare(tools) -}}{%- endif -%}");
        if (preset.DefaultSystem.Length > 0)
        {
            text.Append("{%- if not tools and (not messages or messages[0].role != 'system') -%}")
                .Append(Print($"<|system|>\n{preset.DefaultSystem}"))
                .Append("{%- endif -%}");
        }

        if (preset.PutsSystemFirst)
        {
            text.Append("{%- for message in messages if message.tools -%}{{- declare(message.tools) -}}{%- endfor -%}")
                .Append("{%- for message in messages if message.role == 'system' and message.content -%}")
                .Append("{{- '<|system|>\\n' + message.content -}}{%- endfor -%}")
                .Append("{%- for message in messages if message.role != 'system' -%}");
        }
        else
        {
            text.Append("{%- for message in messages -%}")
                .Append("{%- if message.tools -%}{{- declare(message.tools) -}}{%- endif -%}");
        }

        var content = preset.Thinks ? $"message.content.split('{Thoughts.Close}')[-1].strip()" : "message.content";
        text.Append("{%- set role = 'observation' if message.role == 'tool' else message.role -%}")
            .Append(
                "{%- if message.content -%}{{- '<|' + role + '|>' + (message.metadata or '') + '\\n' + "
                    + $"{content} -}}}}{{%- endif -%}}"
            )
            .Append("{%- for call in message.tool_calls or [] -%}")
            .Append("{{- '<|assistant|>' + call.function.name + '\\n' -}}")
            .Append(
                "{{- call.function.arguments if call.function.arguments is string else call.function.arguments | "
                    + "tojson -}}"
            )
            .Append("{%- endfor -%}{%- endfor -%}")
            .Append("{%- if add_generation_prompt -%}")
            .Append(Print("<|assistant|>" + (preset.Thinks ? $"\n{Thoughts.Open}" : "")))
            .Append("{%- endif -%}");
        return text.ToString();
    }

    // Its calls are Python, which this template does not write: they are shown as they are given.
    private static string ForChatGlm3(TemplatePreset preset) =>
        Print("[gMASK]sop")
        + "{%- for message in messages -%}"
        + "{%- set role = 'observation' if message.role == 'tool' else message.role -%}"
        + "{%- set text = message.content or '' -%}"
        + "{%- set listed = message.tools or (tools if loop.first and role == 'system' else none) -%}"
        + $"{{%- if tools and loop.first and role != 'system' -%}}{{{{- '<|system|>\n ' + "
        + $"{Quote(preset.ToolIntroduction + "\n")} + tools | tojson(indent=4) -}}}}{{%- endif -%}}"
        + $"{{%- if listed -%}}{{%- set text = (text or {Quote(preset.ToolIntroduction!)}) + '\n' + "
        + "listed | tojson(indent=4) -%}{%- endif -%}"
        + "{%- if text -%}{{- '<|' + role + '|>' + (message.metadata or '') + '\n ' + text -}}{%- endif -%}"
        + "{%- endfor -%}{%- if add_generation_prompt -%}"
        + Print("<|assistant|>")
        + "{%- endif -%}";

    /// <summary>Undoes the quoting of a text that we wrote.</summary>
    public static string Unquote(string quoted) =>
        Escape().Replace(quoted, escape => escape.Value == "\\n" ? "\n" : escape.Value[1..]);

    private static string Print(string text) => $"{{{{- {Quote(text)} -}}}}";

    private static string Quote(string text)
    {
        var escaped = text.Replace("\\", "\\\\", StringComparison.Ordinal)
            .Replace("'", "\\'", StringComparison.Ordinal)
            .Replace("\n", "\\n", StringComparison.Ordinal);
        return $"'{escaped}'";
    }

    [GeneratedRegex(@"\\.")]
    private static partial Regex Escape();
}
