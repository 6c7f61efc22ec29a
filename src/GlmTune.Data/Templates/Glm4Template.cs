using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;

namespace GlmTune.Data.Templates;

/// <summary>GLM-4's chat template: turns conversations into token ids and supervised ranges.</summary>
/// <remarks>A sequence is [gMASK], &lt;sop&gt;, then for each message its role token, metadata, a newline and content.
/// Turns have no end token: the next role token ends an answer, so it is supervised too. Immutable and
/// thread-safe.</remarks>
public sealed class Glm4Template
{
    private readonly ToolBlock toolBlock;
    private readonly OwnTemplate? own;
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
        endToken = tokenizer.Special.All.TryGetValue(Options.EndToken, out var id)
            ? id
            : throw new ArgumentException(
                $"'{Options.EndToken}' is not a special token of this tokenizer; expected <|user|> or "
                    + "<|endoftext|>.",
                nameof(options)
            );
        toolBlock = new ToolBlock(Options.Preset, tokenizer.ChatTemplate);
        own = Options.Preset == TemplatePreset.Model ? new OwnTemplate(tokenizer) : null;
    }

    /// <summary>The template's options; the preset is never <see cref="TemplatePreset.Automatic"/>.</summary>
    public TemplateOptions Options { get; }

    /// <summary>The template's tokenizer.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>This template as Jinja, for a model that is exported to other programs.</summary>
    public string ChatTemplate =>
        own is null ? JinjaTemplate.Write(Options.Preset, toolBlock.BuiltIn) : Tokenizer.ChatTemplate!;

    /// <summary>A note for the user if the model's own chat template differs from <see cref="TemplateOptions.Preset"/>,
    /// or has been chosen without having been asked for; otherwise null.</summary>
    public string? Note =>
        isChosenHere && own is not null
            ? "the model's own chat template is not GLM-4's, so it is run as it is (template 'model')."
            : ModelTemplate.Compare(Tokenizer.ChatTemplate, Options.Preset, toolBlock.BuiltIn.Values);

    /// <summary>A training sequence: the whole conversation and the end token, truncated to
    /// <see cref="TemplateOptions.MaxTrainingTokens"/>.</summary>
    /// <remarks>Of a supervised message, everything after its role token is supervised, and so is the token that
    /// follows the message. With <see cref="SupervisedAnswers.Last"/> the first token after the role token (the newline
    /// of a plain answer) is not, as in the demo.</remarks>
    /// <exception cref="InvalidDataException">This model has no text for a declared tool.</exception>
    public TokenizedExample RenderTraining(Conversation conversation)
    {
        var last = LastAnswer(conversation);
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
        var last = LastAnswer(conversation);
        if (own is not null)
        {
            return EvaluateOwn(conversation, last);
        }

        var ids = Start();
        var rows = new List<EvaluationExample>();
        foreach (var (index, message) in conversation.Messages.Index())
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
        foreach (var message in conversation.Messages)
        {
            Append(ids, message);
        }

        if (addGenerationPrompt)
        {
            ids.Add(Tokenizer.Special.Assistant);
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

        return conversation.Messages.Select(
            (message, index) =>
            {
                List<int> ids = [];
                Append(ids, message);
                return new Turn(index, [.. ids], PromptLength: 1, EndsItself: false);
            }
        );
    }

    private static IEnumerable<int> Answers(Conversation conversation) =>
        conversation
            .Messages.Index()
            .Where(pair => pair.Item is { Role: Role.Assistant, IsSupervised: true, Content.Length: > 0 })
            .Select(pair => pair.Index);

    private List<EvaluationExample> EvaluateOwn(Conversation conversation, int last)
    {
        var rows = new List<EvaluationExample>();
        foreach (var answer in Answers(conversation))
        {
            if (Options.SupervisedAnswers == SupervisedAnswers.Last && answer != last)
            {
                continue;
            }

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
        if (message.Tools.Count > 0)
        {
            Append(ids, Role.System, "", toolBlock.Render(message.Tools));
        }

        if (message.Content.Length > 0)
        {
            var styled = ToolCall.InStyle(message, Options.ToolCalls);
            Append(ids, styled.Role, styled.Metadata, styled.Content);
        }
    }

    private void Append(List<int> ids, Role role, string metadata, string content)
    {
        ids.Add(Tokenizer.Special[role]);
        if (Options.Preset.ParsesSpecialText)
        {
            ids.AddRange(Tokenizer.EncodeWithSpecialTokens($"{metadata}\n{content}"));
        }
        else
        {
            ids.AddRange(Tokenizer.Encode($"{metadata}\n"));
            ids.AddRange(Tokenizer.Encode(content));
        }
    }
}
