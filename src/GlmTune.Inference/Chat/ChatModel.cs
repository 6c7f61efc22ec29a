using System.Runtime.CompilerServices;
using System.Text;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Model;

namespace GlmTune.Inference;

/// <summary>A model with its chat template: turns conversations into answers, for any number of concurrent
/// callers.</summary>
/// <remarks>Thread-safe. Disposing it ends its thread; the model remains owned by the caller.</remarks>
public sealed class ChatModel : IDisposable
{
    /// <summary>Starts a scheduler for a model.</summary>
    /// <param name="model">The model; remains owned by the caller, and nobody else may use it until this object is
    /// disposed.</param>
    /// <param name="template">The chat template with its tokenizer.</param>
    /// <param name="defaults">Options used where requests set none, such as the model's own
    /// generation_config.json.</param>
    /// <param name="limits">Limits on concurrent generation.</param>
    /// <exception cref="ArgumentException">Model and tokenizer do not match.</exception>
    internal ChatModel(
        ICausalLm model,
        Glm4Template template,
        GenerationOptions? defaults = null,
        GenerationLimits? limits = null
    )
    {
        Template = template;
        Scheduler = new GenerationScheduler(new Generator(model, template.Tokenizer.Count, defaults, limits));
    }

    /// <summary>The chat template with its tokenizer.</summary>
    public Glm4Template Template { get; }

    /// <summary>The scheduler that generates the answers.</summary>
    internal GenerationScheduler Scheduler { get; }

    /// <summary>Answers a conversation.</summary>
    /// <inheritdoc cref="StreamAsync"/>
    public async Task<ChatAnswer> AnswerAsync(ChatRequest request, CancellationToken cancellation = default)
    {
        ChatAnswer? answer = null;
        await foreach (var piece in StreamAsync(request, cancellation))
        {
            answer = piece.Answer;
        }

        return answer!;
    }

    /// <summary>Answers a conversation piece by piece; the last piece contains the complete answer.</summary>
    /// <param name="request">The conversation and its options.</param>
    /// <param name="cancellation">Cancels the answer between two tokens.</param>
    /// <exception cref="ArgumentException">The conversation is too long, the required tool was not declared, or options
    /// are out of range.</exception>
    /// <exception cref="InvalidDataException">This model has no text for a declared tool.</exception>
    public async IAsyncEnumerable<ChatPiece> StreamAsync(
        ChatRequest request,
        [EnumeratorCancellation] CancellationToken cancellation = default
    )
    {
        await foreach (var piece in StreamAll([Prepare(request)], cancellation)[0].WithCancellation(cancellation))
        {
            yield return piece;
        }
    }

    /// <summary>Max tokens of prompt and answer together: the model's positions, or less if the options say
    /// so.</summary>
    public int ContextLimit(GenerationOptions options) =>
        Math.Min(Scheduler.Generator.MaxLength, options.Over(Scheduler.Generator.Defaults).MaxLength ?? int.MaxValue);

    /// <summary>Tokenizes the prompt of a conversation, which can take long.</summary>
    /// <exception cref="ArgumentException">The required tool was not declared.</exception>
    /// <exception cref="InvalidDataException">This model has no text for a declared tool.</exception>
    public PreparedChat Prepare(ChatRequest request)
    {
        var tools = request
            .Conversation.Messages.SelectMany(message => message.Tools)
            .Select(tool => tool.Name)
            .ToHashSet(StringComparer.Ordinal);
        return request.RequiredTool is null || tools.Contains(request.RequiredTool)
            ? new PreparedChat(request, Template.RenderPrompt(request.Conversation), tools)
            : throw new ArgumentException(
                $"The tool '{request.RequiredTool}' is required but was not declared; declared tools: "
                    + $"{(tools.Count == 0 ? "none" : string.Join(", ", tools))}."
            );
    }

    /// <summary>Answers several conversations together, such as several answers to one conversation, whose prompt is
    /// then processed once.</summary>
    /// <param name="requests">The conversations with their options; all are queued at once.</param>
    /// <param name="cancellation">Cancels all answers between two tokens.</param>
    /// <returns>For each request its pieces, as from <see cref="StreamAsync"/>; each must be enumerated once. One that
    /// is never enumerated runs until <paramref name="cancellation"/> or its end.</returns>
    /// <exception cref="ArgumentException">A conversation is too long, or options are out of range.</exception>
    public IReadOnlyList<IAsyncEnumerable<ChatPiece>> StreamAll(
        IReadOnlyList<PreparedChat> requests,
        CancellationToken cancellation = default
    )
    {
        List<(int[] Prompt, AnswerStream Stream, ThoughtStream Thoughts)> begun = [.. requests.Select(Begin)];
        var tokens = Scheduler.StreamAll(
            [.. requests.Zip(begun, (request, begin) => Generation(request, begin.Prompt))],
            cancellation
        );
        return
        [
            .. begun.Zip(
                tokens,
                (begin, each) => PiecesAsync(begin.Prompt.Length, begin.Stream, begin.Thoughts, each, cancellation)
            ),
        ];
    }

    /// <inheritdoc/>
    public void Dispose() => Scheduler.Dispose();

    private (int[] Prompt, AnswerStream Stream, ThoughtStream Thoughts) Begin(PreparedChat request)
    {
        var stream = new AnswerStream(
            request.Tools,
            [.. request.StopTexts.Where(text => text.Length > 0)],
            request.StreamCalls
        );
        // A call that must be made, and an answer of a given form, are written without thoughts.
        var isDirect = request.RequiredTool is not null || request.Grammar is not null;
        var thoughts = new ThoughtStream(
            !Template.TakesThoughts || isDirect ? ThoughtStream.State.Answer
            : Template.Thinks ? ThoughtStream.State.Thoughts
            : ThoughtStream.State.Undecided
        );
        // The prompt includes a required tool's name, so the model can only write arguments.
        var name = request.RequiredTool is { } required ? $"{required}\n" : "";
        stream.Add(name);
        var given = isDirect && Template.Thinks ? Template.NoThoughts + name : name;
        return (
            given.Length > 0 ? [.. request.Prompt, .. Template.Tokenizer.Encode(given)] : request.Prompt,
            stream,
            thoughts
        );
    }

    private async IAsyncEnumerable<ChatPiece> PiecesAsync(
        int promptLength,
        AnswerStream stream,
        ThoughtStream thoughts,
        IAsyncEnumerable<GeneratedToken> tokens,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var tokenizer = Template.Tokenizer;
        var text = new StringBuilder();
        var decoder = new StreamingDecoder(tokenizer);
        var reasoning = new StringBuilder();
        var (count, cached, thinking) = (0, 0, 0);
        var finish = FinishReason.Stop;
        await foreach (var token in tokens.WithCancellation(cancellation))
        {
            (count, cached) = (count + 1, token.CachedTokens);
            finish = token.Finish ?? finish;
            var isThinking = thoughts.IsThinking && token.Finish != FinishReason.Stop;
            thinking += isThinking ? 1 : 0;
            var (thought, piece) = token.Finish == FinishReason.Stop ? ("", "") : Take(token.Id);
            reasoning.Append(thought);
            text.Append(piece);
            yield return new ChatPiece(piece, token, null)
            {
                Reasoning = thought,
                IsThinking = isThinking,
                Calls = stream.TakeCalls(),
            };
            if (stream.Stopped)
            {
                finish = FinishReason.Stop;
                break;
            }
        }

        var (lastThought, rest) = Split(decoder.Finish());
        var (heldThought, heldText) = thoughts.Finish();
        lastThought += heldThought;
        rest += stream.Add(heldText) + stream.EndMessage(cutOff: finish == FinishReason.Length);
        reasoning.Append(lastThought);
        text.Append(rest);
        var messages = stream.Messages.Select(parsed => parsed.Message).ToList();
        if (messages.Count > 0)
        {
            messages[0] = messages[0] with { Reasoning = reasoning.ToString() };
        }

        finish = stream.Stopped ? FinishReason.Stop : finish; // The text that was held back may contain one.
        yield return new ChatPiece(
            rest,
            null,
            new ChatAnswer(
                messages,
                [.. stream.Messages.Select(parsed => parsed.Call).OfType<Data.Conversations.ToolCall>()],
                finish,
                promptLength,
                count
            )
            {
                Text = text.ToString(),
                Reasoning = reasoning.ToString(),
                ReasoningTokens = thinking,
                CallMessages =
                [
                    .. stream.Messages.Where(parsed => parsed.Call is not null).Select(parsed => parsed.Message),
                ],
                CachedTokens = cached,
            }
        )
        {
            Reasoning = lastThought,
            Calls = stream.TakeCalls(),
        };

        (string Thought, string Text) Split(string written)
        {
            var (thought, answer) = thoughts.Add(written);
            return (thought, stream.Add(answer));
        }

        // The model may open another turn of its own, as in the All Tools format: text, then a call.
        (string Thought, string Text) Take(int id)
        {
            if (id != tokenizer.Special.Assistant)
            {
                return Split(decoder.Add(id));
            }

            var (thought, text) = Split(decoder.Finish());
            return (thought, text + stream.EndMessage());
        }
    }

    // The end of a turn always ends an answer, even if a model's files list fewer stop tokens.
    private GenerationRequest Generation(PreparedChat request, int[] prompt)
    {
        var stops =
            request.Options.EosTokenIds
            ?? Scheduler.Generator.Defaults.EosTokenIds
            ?? Scheduler.Generator.Model.Config.EndTokenIds;
        int[] ends = [.. stops.Union(Template.Tokenizer.Special.Stops)];
        var options = request.Options with { EosTokenIds = ends };
        return new GenerationRequest(prompt)
        {
            // Rules that forbid tokens could forbid everything that a grammar allows.
            Options = request.Grammar is null ? options : options with { MinNewTokens = 0, NoRepeatNgramSize = 0 },
            Adapter = request.Adapter,
            Client = request.Client,
            LogProbabilities = request.LogProbabilities,
            TopLogProbabilities = request.TopLogProbabilities,
            Mask = request.Grammar?.NewMask(Template.Tokenizer, ends) ?? request.Mask,
        };
    }
}
