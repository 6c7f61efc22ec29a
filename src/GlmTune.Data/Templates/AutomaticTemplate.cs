using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>Chooses between the presets and the template in a model's own files.</summary>
/// <remarks>GLM-4's models carry templates of several revisions, and the demo trains with the preset whichever it is. A
/// template is taken for one of them if it introduces the assistant in their words, or writes what a preset writes. For
/// other models, a preset takes the place of a template that writes the same conversations to the letter.</remarks>
internal static class AutomaticTemplate
{
    private const string ToolName = "find_train";
    private const string ToolText = "Lists trains";

    private static readonly Conversation Plain = new([
        new Message(Role.System, "Be brief."),
        new Message(Role.User, "Hello!"),
        new Message(Role.Assistant, "Hi."),
        new Message(Role.User, "And now?"),
    ]);

    private static readonly Conversation WithTools = new([
        new Message(Role.System, "")
        {
            Tools =
            [
                new ToolDefinition(
                    "function",
                    ToolName,
                    $"{{\"name\": \"{ToolName}\", \"description\": \"{ToolText}\"}}"
                ),
                new ToolDefinition("function", "buy", """{"name": "buy"}"""),
            ],
        },
        new Message(Role.User, "To Bonn?"),
        new Message(Role.Assistant, """{"to": "Bonn"}""") { Metadata = ToolName },
        new Message(Role.Observation, "9:10"),
    ]);

    // What the presets of later models differ in: no system message, thoughts in history, white space, a system message
    // that comes late.
    private static readonly Conversation[] Probes =
    [
        Plain,
        WithTools,
        new([
            new Message(Role.User, " What? "),
            new Message(Role.Assistant, "<think>\nWell.\n</think>\n Four. \n"),
            new Message(Role.System, " Be kind. "),
            new Message(Role.User, "Sure?"),
        ]),
    ];

    /// <summary>The preset for a model's tokenizer.</summary>
    /// <exception cref="InvalidDataException">The model's own template is needed, but cannot be read.</exception>
    public static TemplatePreset Choose(Tokenizer tokenizer)
    {
        if (tokenizer.SentencePiece is not null)
        {
            return TemplatePreset.ChatGlm3;
        }

        if (tokenizer.ChatTemplate is not { } template || string.IsNullOrWhiteSpace(template))
        {
            return TemplatePreset.Default;
        }

        var isForeign = ModelTemplate.HasForeignText(
            template,
            new ToolBlock(TemplatePreset.Default, template).BuiltIn.Values
        );
        if (!isForeign && ModelTemplate.NamesTheAssistant(template))
        {
            return TemplatePreset.Default;
        }

        OwnTemplate own;
        try
        {
            own = new OwnTemplate(tokenizer);
        }
        catch (InvalidDataException error)
        {
            throw new InvalidDataException(
                $"{error.Message} This template is not GLM-4's, so the model may expect it. Set 'template' to a "
                    + "preset, such as glm-4, to use that instead.",
                error
            );
        }

        return FindLater(own, tokenizer)
            ?? (isForeign || !IsLikeAPreset(own, tokenizer) ? TemplatePreset.Model : TemplatePreset.Default);
    }

    /// <summary>The preset of a later model that writes exactly what the model's own template writes; null if none
    /// does.</summary>
    public static TemplatePreset? FindLater(Tokenizer tokenizer)
    {
        try
        {
            return FindLater(new OwnTemplate(tokenizer), tokenizer);
        }
        catch (InvalidDataException)
        {
            return null;
        }
    }

    private static TemplatePreset? FindLater(OwnTemplate own, Tokenizer tokenizer)
    {
        string?[] written = [.. Probes.Select(probe => Try(() => own.Prompt(probe, addGenerationPrompt: true)))];
        return TemplatePreset
            .All.Where(preset => !preset.IsOfGlm4 && !preset.IsOfChatGlm3)
            .FirstOrDefault(preset =>
            {
                var template = new Glm4Template(tokenizer, new TemplateOptions { Preset = preset });
                return Probes.Select(probe => Try(() => template.RenderPrompt(probe))).SequenceEqual(written);
            });

        string? Try(Func<int[]> render)
        {
            try
            {
                return tokenizer.Decode(render(), skipSpecial: false);
            }
            catch (InvalidDataException)
            {
                return null;
            }
        }
    }

    private static bool IsLikeAPreset(OwnTemplate own, Tokenizer tokenizer)
    {
        var presets = TemplatePreset
            .All.Where(preset => preset.IsOfGlm4)
            .Select(preset => new Glm4Template(tokenizer, new TemplateOptions { Preset = preset }));
        string plain,
            shown;
        try
        {
            plain = Text(own.Prompt(Plain, addGenerationPrompt: true));
            shown = Text(own.Prompt(WithTools, addGenerationPrompt: true));
        }
        catch (InvalidDataException)
        {
            // It refuses what every preset takes.
            return false;
        }

        // A template that does not show tools leaves them to the preset.
        var showsTools = shown.Contains(ToolText, StringComparison.Ordinal);
        return presets.Any(preset =>
            plain == Text(preset.RenderPrompt(Plain)) && (!showsTools || shown == Text(preset.RenderPrompt(WithTools)))
        );

        string Text(int[] ids) => tokenizer.Decode(ids, skipSpecial: false);
    }
}
