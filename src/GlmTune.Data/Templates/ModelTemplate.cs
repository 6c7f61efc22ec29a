using System.Text.RegularExpressions;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>Compares the chat template in a model's own files with the presets.</summary>
/// <remarks>Templates are programs, which are not run here. Instead, their literal texts are compared: each must be one
/// that a preset writes, or belong to a built-in tool.</remarks>
internal static partial class ModelTemplate
{
    private const char Gap = '\u0001';

    /// <summary>A note for the user about a model's template; null if it is that of the preset, or there is
    /// none.</summary>
    /// <param name="tokenizer">The model's tokenizer, with its template.</param>
    /// <param name="used">The preset that is used instead.</param>
    /// <param name="builtIn">The sections of built-in tools, which are read from the template.</param>
    public static string? Compare(Tokenizer tokenizer, TemplatePreset used, IEnumerable<string> builtIn)
    {
        var template = tokenizer.ChatTemplate;
        if (string.IsNullOrWhiteSpace(template) || used == TemplatePreset.Model || used.IsOfChatGlm3)
        {
            return null;
        }

        if (AutomaticTemplate.FindLater(tokenizer) is { } exact)
        {
            return exact == used
                ? null
                : $"the model's own chat template is the preset '{exact.Name}', but '{used.Name}' is used: prompts "
                    + "differ.";
        }

        var text = TextOf(template);
        if (FindForeign(text, builtIn) is { } foreign)
        {
            return $"the model's own chat template is not a known GLM-4 template (it writes \"{foreign}\"). The "
                + $"preset '{used.Name}' is used, so prompts differ from those that other programs build from that "
                + "template. The template 'model' uses the model's own.";
        }

        var names = NamesIn(text);
        return names.Count == 0 || names.Exists(preset => preset.AssistantName == used.AssistantName)
            ? null
            : $"the model's own chat template is the preset '{names[0].Name}', but '{used.Name}' is used: with "
                + "tools, prompts differ.";
    }

    /// <summary>Whether a template has a text that no preset writes.</summary>
    public static bool HasForeignText(string template, IEnumerable<string> builtIn) =>
        FindForeign(TextOf(template), builtIn) is not null;

    /// <summary>Whether a template introduces the assistant as one of the presets does.</summary>
    public static bool NamesTheAssistant(string template) => NamesIn(TextOf(template)).Count > 0;

    private static List<TemplatePreset> NamesIn(string text) =>
        [.. OfGlm4.Where(preset => text.Contains(NameIn(preset), StringComparison.Ordinal))];

    private static IEnumerable<TemplatePreset> OfGlm4 => TemplatePreset.All.Where(preset => preset.IsOfGlm4);

    private static string NameIn(TemplatePreset preset) => $"名为 {preset.AssistantName} 的";

    // The first text that no preset writes; null if there is none.
    private static string? FindForeign(string text, IEnumerable<string> builtIn)
    {
        IEnumerable<string> known =
        [
            .. builtIn.Select(Trimmed),
            .. OfGlm4.Select(preset => ToolBlock.Preamble(preset with { HasToolHeading = false })),
            ToolBlock.Heading,
            ToolBlock.AfterFunction,
            .. SpecialTokens.Glm4Order,
        ];
        foreach (var piece in known.Where(piece => piece.Length > 0).OrderByDescending(piece => piece.Length))
        {
            text = text.Replace(piece, $"{Gap}", StringComparison.Ordinal);
        }

        return text.Split(Gap).Select(Trimmed).FirstOrDefault(IsForeign) is { } found
            ? found.Length > 40
                ? found[..40] + "…"
                : found
            : null;
    }

    // Single words are names of roles, keys and types; headings and personas are longer.
    private static bool IsForeign(string piece) =>
        OtherToken().IsMatch(piece) || piece.Any(c => char.IsLetter(c) && c > 0x7f) || Words().Count(piece) > 1;

    // The text outside Jinja's tags and the quoted texts inside them, separated by gaps.
    private static string TextOf(string template)
    {
        var text = new System.Text.StringBuilder();
        var end = 0;
        foreach (Match tag in Tag().Matches(template))
        {
            text.Append(template, end, tag.Index - end).Append(Gap);
            end = tag.Index + tag.Length;
            if (
                tag.Value.StartsWith("{#", StringComparison.Ordinal)
                || tag.Value.Contains("raise_exception", StringComparison.Ordinal)
            )
            {
                continue;
            }

            foreach (Match quoted in Quoted().Matches(tag.Value))
            {
                text.Append(JinjaTemplate.Unquote(quoted.Groups["text"].Value)).Append(Gap);
            }
        }

        return text.Append(template, end, template.Length - end).ToString();
    }

    private static string Trimmed(string text) => text.Trim();

    [GeneratedRegex(@"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", RegexOptions.Singleline)]
    private static partial Regex Tag();

    [GeneratedRegex(@"'(?<text>([^'\\]|\\.)*)'|""(?<text>([^""\\]|\\.)*)""", RegexOptions.Singleline)]
    private static partial Regex Quoted();

    [GeneratedRegex(@"<\|\w+\|>")]
    private static partial Regex OtherToken();

    [GeneratedRegex(@"[A-Za-z][A-Za-z_]+")]
    private static partial Regex Words();
}
