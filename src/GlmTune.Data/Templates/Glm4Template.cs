using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>The chat template of the GLM-4 family: turns conversations into token ids and supervised ranges.</summary>
/// <remarks>A sequence is [gMASK], &lt;sop&gt;, then for each message its role token, metadata, a newline and content.
/// Turns have no end token: the next role token ends an answer, so it is supervised too. Reasoning models think before
/// they answer (<see cref="Thinks"/>). Immutable and thread-safe.</remarks>
public sealed class Glm4Template
{
    private readonly ToolBlock toolBlock;
    private readonly OwnTemplate? own;
    private readonly ThinkingAnswers? thinking;
    private readonly int endToken;
    private readonly bool isChosenHere;

    /// <summary>Creates a template for a tokenizer.</summary>
    /// <exception cref="ArgumentException">The end token is not a special token of this tokenizer, or a limit is not
    /// positive.</exception>
    /// <exception cref="InvalidDataException">The model's own chat template is to be run, but cannot be
    /// read.</exception>
    public Glm4Template(Tokenizer tokenizer, TemplateOptions? options = null)
    {
        Tokenizer = tokenizer;
        Options = options ?? new TemplateOptions();
        isChosenHere = Options.Preset == TemplatePreset.Automatic;
        Options = isChosenHere ? Options with { Preset = AutomaticTemplate.Choose(tokenizer) } : Options;
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Options.MaxInputTokens);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(Options.MaxOutputTokens);
        endToken =
            Options.EndToken == "<|endoftext|>" ? tokenizer.Special.EndOfText
            : tokenizer.Special.All.TryGetValue(Options.EndToken, out var id) ? id
            : throw new ArgumentException(
                $"'{Options.EndToken}' is not a special token of this tokenizer; expected <|user|> or "
                    + "<|endoftext|>.",
                nameof(options)
            );
        if (
            Options.Preset != TemplatePreset.Model
            && Options.Preset.IsOfChatGlm3 != tokenizer.SentencePiece is not null
        )
        {
            throw new InvalidDataException(
                $"the template '{Options.Preset.Name}' is not for this model, whose tokenizer is "
                    + $"{(tokenizer.SentencePiece is null ? "GLM-4's" : "ChatGLM3's")}. Set 'template' to auto."
            );
        }

        toolBlock = new ToolBlock(Options.Preset, tokenizer.ChatTemplate);
        own = Options.Preset == TemplatePreset.Model ? new OwnTemplate(tokenizer) : null;
        Thinks = own?.Thinks ?? Options.Preset.Thinks;
        thinking = Thinks
            ? new ThinkingAnswers(
                tokenizer,
                Options,
                endToken,
                conversation => RenderPrompt(conversation),
                own?.OpensLine == true ? "" : "\n",
                own is null ? tokenizer.Encode : tokenizer.EncodeWithSpecialTokens
            )
            : null;
    }

    /// <summary>Whether the prompt for an answer ends with <c>&lt;think&gt;</c>: the model then writes its thoughts,
    /// <c>&lt;/think&gt;</c>, and the answer.</summary>
    public bool Thinks { get; }

    /// <summary>What follows a prompt that ends with <c>&lt;think&gt;</c> if the answer is to begin at once.</summary>
    internal string NoThoughts => (own?.OpensLine == true ? "" : "\n") + Thoughts.Written("");

    /// <summary>Whether messages may have thoughts (<see cref="Message.Reasoning"/>).</summary>
    public bool TakesThoughts => Thinks || own?.TakesThoughts == true;

    /// <summary>The template's options; the preset is never <see cref="TemplatePreset.Automatic"/>.</summary>
    public TemplateOptions Options { get; }

    /// <summary>The template's tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>This template as Jinja, for a model that is exported to other programs.</summary>
    public string ChatTemplate =>
        (own is not null || (isChosenHere && !Options.Preset.IsOfGlm4)) && Tokenizer.ChatTemplate is { } written
            ? written
            : JinjaTemplate.Write(Options.Preset, toolBlock.BuiltIn);

    /// <summary>A note for the user if the model's own chat template differs from <see cref="TemplateOptions.Preset"/>,
    /// or has been chosen without having been asked for; otherwise null.</summary>
    public string? Note =>
        isChosenHere && own is not null
            ? "the model's own chat template is not GLM-4's, so it is run as it is (template 'model')."
        : isChosenHere && !Options.Preset.IsOfGlm4 ? null
        : ModelTemplate.Compare(Tokenizer, Options.Preset, toolBlock.BuiltIn.Values);

    /// <summary>A training sequence: the whole conversation and the end token, truncated to
    /// <see cref="TemplateOptions.MaxTrainingTokens"/>.</summary>
    /// <remarks>Of a supervised message, everything after its role token is supervised, and so is the token that
    /// follows the message. With <see cref="SupervisedAnswers.Last"/> the first token after the role token (the newline
    /// of a plain answer) is not, as in the demo.</remarks>
    /// <returns>One sequence; one for each supervised answer if the model thinks before it answers.</returns>
    /// <exception cref="InvalidDataException">This model has no text for a declared tool, or no place for
    /// thoughts.</exception>
    public IReadOnlyList<TokenizedExample> RenderTraining(Conversation conversation)
    {
        RefuseThoughts(conversation);
        var last = LastAnswer(conversation);
        return thinking is null
            ? [RenderWhole(conversation, last)]
            : [.. thinking.Training(conversation, Wanted(conversation, last))];
    }

    private TokenizedExample RenderWhole(Conversation conversation, int last)
    {
        var ids = Start();
        var supervised = new List<(int Start, int End)>();
        var endsItself = false;
        foreach (var turn in Turns(conversation, last))
        {
            var start = ids.Count;
            ids.AddRange(turn.Ids);
            endsItself = turn.EndsItself;
            if (
                turn.Message >= 0
                && conversation.Messages[turn.Message].IsSupervised
                && (Options.SupervisedAnswers == SupervisedAnswers.All ? turn.Ids.Length > 0 : turn.Message == last)
            )
            {
                // Supervision starts with what is predicted from this token, so labels are one position later.
                var skipped =
                    turn.PromptLength + (own is null && Options.SupervisedAnswers == SupervisedAnswers.Last ? 1 : 0);
                supervised.Add((start + skipped, ids.Count + (endsItself ? 0 : 1)));
            }
        }

        if (!endsItself)
        {
            ids.Add(endToken);
        }

        var limit = Math.Min(ids.Count, Options.MaxTrainingTokens);
        return new TokenizedExample([.. ids[..limit]], Cut(supervised, limit))
        {
            FullLength = ids.Count,
            LostItsEnd = supervised.Count > 0 && supervised[^1].End > limit,
        };
    }

    /// <summary>One row for each supervised answer whose prompt is shorter than
    /// <see cref="TemplateOptions.MaxInputTokens"/>.</summary>
    /// <remarks>Earlier answers are part of a later answer's prompt. With <see cref="SupervisedAnswers.Last"/> there is
    /// one row, for the last answer.</remarks>
    /// <exception cref="InvalidDataException">This model has no text for a declared tool.</exception>
    public IReadOnlyList<EvaluationExample> RenderEvaluation(Conversation conversation)
    {
        RefuseThoughts(conversation);
        var last = LastAnswer(conversation);
        if (thinking is not null)
        {
            return
            [
                .. Wanted(conversation, last)
                    .Select(answer => thinking.Evaluation(conversation, answer))
                    .OfType<EvaluationExample>(),
            ];
        }

        if (own is not null)
        {
            return EvaluateOwn(conversation, last);
        }

        var ids = Start();
        var rows = new List<EvaluationExample>();
        foreach (var (index, message) in InOrder(conversation))
        {
            var start = ids.Count;
            if (start >= Options.MaxInputTokens)
            {
                break;
            }

            Append(ids, message);
            var wanted = Options.SupervisedAnswers == SupervisedAnswers.All || index == last;
            if (wanted && message.Role == Role.Assistant && message.IsSupervised && ids.Count > start)
            {
                int[] prompt = [.. ids[..(start + 1)]];
                int[] target = [.. ids[(start + 1)..], endToken];
                rows.Add(
                    new EvaluationExample(prompt, target[..Math.Min(target.Length, Options.MaxOutputTokens)])
                    {
                        MessageIndex = index,
                        IsCut = target.Length > Options.MaxOutputTokens,
                    }
                );
            }
        }

        return rows;
    }

    /// <summary>Number of answers of a conversation that would be evaluated if no prompt were too long.</summary>
    public int CountAnswers(Conversation conversation)
    {
        var answers = conversation.Messages.Count(message =>
            message is { Role: Role.Assistant, IsSupervised: true, Content.Length: > 0 }
        );
        return Options.SupervisedAnswers == SupervisedAnswers.All ? answers
            : LastAnswer(conversation) is >= 0 and var last && conversation.Messages[last].IsSupervised ? 1
            : 0;
    }

    /// <summary>The prompt for the model: the conversation, then the assistant token.</summary>
    /// <param name="conversation">The conversation so far.</param>
    /// <param name="addGenerationPrompt">Whether to append the assistant token.</param>
    /// <exception cref="InvalidDataException">This model has no text for a declared tool.</exception>
    public int[] RenderPrompt(Conversation conversation, bool addGenerationPrompt = true)
    {
        if (own is not null)
        {
            return own.Prompt(conversation, addGenerationPrompt);
        }

        var ids = Start();
        foreach (var (_, message) in InOrder(conversation))
        {
            Append(ids, message);
        }

        if (addGenerationPrompt)
        {
            ids.Add(Tokenizer.Special.Assistant);
            ids.AddRange(Options.Preset.Thinks ? Tokenizer.Encode($"\n{Thoughts.Open}") : []);
        }

        return [.. ids];
    }

    private static int LastAnswer(Conversation conversation)
    {
        for (var i = conversation.Messages.Count - 1; i >= 0; i--)
        {
            if (conversation.Messages[i] is { Role: Role.Assistant, Content.Length: > 0 })
            {
                return i;
            }
        }

        return -1;
    }

    // Truncated ranges end at the limit; adjacent ranges are merged.
    private static List<(int Start, int End)> Cut(List<(int Start, int End)> stretches, int limit)
    {
        var result = new List<(int Start, int End)>(stretches.Count);
        foreach (var (start, fullEnd) in stretches)
        {
            var end = Math.Min(fullEnd, limit);
            if (start >= end)
            {
                continue;
            }

            if (result.Count > 0 && result[^1].End >= start)
            {
                result[^1] = (result[^1].Start, end);
            }
            else
            {
                result.Add((start, end));
            }
        }

        return result;
    }

    private List<int> Start() => own is null ? [Tokenizer.Special.GMask, Tokenizer.Special.Sop] : [];

    private IEnumerable<Turn> Turns(Conversation conversation, int last)
    {
        if (own is not null)
        {
            return own.Turns(
                conversation,
                Options.SupervisedAnswers == SupervisedAnswers.All ? Answers(conversation)
                    : last < 0 ? []
                    : [last]
            );
        }

        return InOrder(conversation)
            .Select(each =>
            {
                List<int> ids = [];
                Append(ids, each.Message);
                return new Turn(each.Index, [.. ids], PromptLength: 1, EndsItself: false);
            });
    }

    // The messages in the order in which they are written, with their places in the conversation (-1: none).
    private IEnumerable<(int Index, Message Message)> InOrder(Conversation conversation)
    {
        IEnumerable<(int Index, Message Message)> messages = conversation.Messages.Index();
        if (
            Options.Preset.DefaultSystem is { Length: > 0 } system
            && conversation.Messages.FirstOrDefault(message => message.Content.Length > 0 || message.Tools.Count > 0)
                is not { Role: Role.System }
        )
        {
            return messages.Prepend((-1, new Message(Role.System, system)));
        }

        if (!Options.Preset.PutsSystemFirst)
        {
            return messages;
        }

        List<ToolDefinition> tools = [.. conversation.Messages.SelectMany(message => message.Tools)];
        return
        [
            .. tools.Count > 0
                ? [(-1, new Message(Role.System, "") { Tools = tools })]
                : (IEnumerable<(int, Message)>)[],
            .. messages
                .OrderBy(each => each.Message.Role == Role.System ? 0 : 1)
                .Select(each => (each.Index, each.Message with { Tools = [] })),
        ];
    }

    // The supervised answers, or the last one.
    private IEnumerable<int> Wanted(Conversation conversation, int last) =>
        Answers(conversation).Where(answer => Options.SupervisedAnswers == SupervisedAnswers.All || answer == last);

    private void RefuseThoughts(Conversation conversation)
    {
        if (
            !TakesThoughts
            && conversation.Messages.Index().FirstOrDefault(each => each.Item.Reasoning.Length > 0)
                is { Item: not null } found
        )
        {
            throw new InvalidDataException(
                $"messages[{found.Index}]: 'reasoning_content', but the chat template '{Options.Preset.Name}' has no "
                    + "place for thoughts. Train a reasoning model such as GLM-Z1, or remove the key."
            );
        }
    }

    private static IEnumerable<int> Answers(Conversation conversation) =>
        conversation
            .Messages.Index()
            .Where(pair => pair.Item is { Role: Role.Assistant, IsSupervised: true, Content.Length: > 0 })
            .Select(pair => pair.Index);

    private List<EvaluationExample> EvaluateOwn(Conversation conversation, int last)
    {
        var rows = new List<EvaluationExample>();
        foreach (var answer in Wanted(conversation, last))
        {
            var turn = own!.Answer(conversation, answer);
            if (turn.PromptLength > Options.MaxInputTokens)
            {
                continue;
            }

            int[] target = turn.EndsItself
                ? turn.Ids[turn.PromptLength..]
                : [.. turn.Ids[turn.PromptLength..], endToken];
            rows.Add(
                new EvaluationExample(
                    turn.Ids[..turn.PromptLength],
                    target[..Math.Min(target.Length, Options.MaxOutputTokens)]
                )
                {
                    MessageIndex = answer,
                    IsCut = target.Length > Options.MaxOutputTokens,
                }
            );
        }

        return rows;
    }

    private void Append(List<int> ids, Message message)
    {
        if (message.Tools.Count > 0 && message.Content.Length > 0 && Options.Preset.IsOfChatGlm3)
        {
            Append(ids, Role.System, "", $"{message.Content}\n{ToolBlock.List(message.Tools)}");
            return;
        }

        if (message.Tools.Count > 0)
        {
            Append(ids, Role.System, "", toolBlock.Render(message.Tools));
        }

        if (message.Content.Length > 0)
        {
            var styled = ToolCall.InStyle(message, Options.ToolCalls);
            if (Options.Preset.IsOfChatGlm3)
            {
                styled = PythonCall.InStyle(styled);
            }

            Append(
                ids,
                styled.Role,
                styled.Metadata,
                Options.Preset.Thinks && styled.Role != Role.System ? Thoughts.Of(styled).Answer : styled.Content
            );
        }
    }

    private void Append(List<int> ids, Role role, string metadata, string content)
    {
        ids.Add(Tokenizer.Special[role]);
        if (Options.Preset.ParsesSpecialText)
        {
            ids.AddRange(Tokenizer.EncodeWithSpecialTokens($"{metadata}\n{content}"));
        }
        else if (Options.Preset.PutsSystemFirst)
        {
            ids.AddRange(Tokenizer.Encode($"{metadata}\n{content}"));
        }
        else
        {
            Tokenizer.AppendTo(ids, metadata.Length == 0 ? "\n" : $"{metadata}\n");
            Tokenizer.AppendTo(ids, content);
        }
    }
}
