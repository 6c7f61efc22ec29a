using System.Runtime.CompilerServices;
using System.Text;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Model;

namespace GlmTune.Inference;

/// <summary>A model and its chat format: conversations in, answers out, for any number of callers at the same
/// time.</summary>
/// <remarks>Thread-safe. Disposing it ends its thread; the model stays the caller's.</remarks>
public sealed class ChatModel : IDisposable
{
    /// <summary>Starts a scheduler over a model.</summary>
    /// <param name="model">Stays the caller's; nobody else may use it until this is disposed.</param>
    /// <param name="template">The chat format with its tokenizer.</param>
    /// <param name="defaults">What requests leave unsaid, such as the model's own generation_config.json.</param>
    /// <param name="limits">How much is done at once.</param>
    /// <exception cref="ArgumentException">Model and tokenizer don't belong together.</exception>
    public ChatModel(
        ICausalLm model,
        Glm4Template template,
        GenerationOptions? defaults = null,
        GenerationLimits? limits = null
    )
    {
        Template = template;
        Scheduler = new GenerationScheduler(new Generator(model, template.Tokenizer.Count, defaults, limits));
    }

    /// <summary>The chat format with its tokenizer.</summary>
    public Glm4Template Template { get; }

    /// <summary>What makes the answers.</summary>
    public GenerationScheduler Scheduler { get; }

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

    /// <summary>Answers a conversation, piece by piece; the last piece holds the whole answer.</summary>
    /// <param name="request">The conversation, and how.</param>
    /// <param name="cancellation">Ends the answer between two tokens.</param>
    /// <exception cref="ArgumentException">The conversation is too long, the required tool was not declared, or options
    /// are out of range.</exception>
    /// <exception cref="InvalidDataException">A declared tool cannot be shown to this model.</exception>
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
        Math.Min(
            Scheduler.Generator.Model.Config.MaxPositions,
            options.Over(Scheduler.Generator.Defaults).MaxLength ?? int.MaxValue
        );

    /// <summary>Makes the tokens of a conversation's prompt, which takes long for a long one.</summary>
    /// <exception cref="ArgumentException">The required tool was not declared.</exception>
    /// <exception cref="InvalidDataException">A declared tool cannot be shown to this model.</exception>
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

    /// <summary>Answers conversations that come together, such as several answers to one, whose prompt is read
    /// once.</summary>
    /// <param name="requests">The conversations, and how. They are taken in at once.</param>
    /// <param name="cancellation">Ends all answers between two tokens.</param>
    /// <returns>For each request its pieces, as <see cref="StreamAsync"/> gives them, to be enumerated once. One that
    /// is never begun runs until <paramref name="cancellation"/> or the end.</returns>
    /// <exception cref="ArgumentException">A conversation is too long, or options are out of range.</exception>
    public IReadOnlyList<IAsyncEnumerable<ChatPiece>> StreamAll(
        IReadOnlyList<PreparedChat> requests,
        CancellationToken cancellation = default
    )
    {
        List<(int[] Prompt, AnswerStream Stream)> begun = [.. requests.Select(Begin)];
        var tokens = Scheduler.StreamAll(
            [.. requests.Zip(begun, (request, begin) => Generation(request, begin.Prompt))],
            cancellation
        );
        return
        [
            .. begun.Zip(tokens, (begin, each) => PiecesAsync(begin.Prompt.Length, begin.Stream, each, cancellation)),
        ];
    }

    /// <inheritdoc/>
    public void Dispose() => Scheduler.Dispose();

    private (int[] Prompt, AnswerStream Stream) Begin(PreparedChat request)
    {
        var stream = new AnswerStream(
            request.Tools,
            [.. request.StopTexts.Where(text => text.Length > 0)],
            request.StreamCalls
        );
        if (request.RequiredTool is not { } required)
        {
            return (request.Prompt, stream);
        }

        // The model goes on after the name, so that it can only write arguments.
        stream.Add($"{required}\n");
        return ([.. request.Prompt, .. Template.Tokenizer.Encode($"{required}\n")], stream);
    }

    private async IAsyncEnumerable<ChatPiece> PiecesAsync(
        int promptLength,
        AnswerStream stream,
        IAsyncEnumerable<GeneratedToken> tokens,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var tokenizer = Template.Tokenizer;
        var text = new StringBuilder();
        var decoder = new StreamingDecoder(tokenizer);
        var (count, cached) = (0, 0);
        var finish = FinishReason.Stop;
        await foreach (var token in tokens.WithCancellation(cancellation))
        {
            (count, cached) = (count + 1, token.CachedTokens);
            finish = token.Finish ?? finish;
            var piece = token.Finish == FinishReason.Stop ? "" : Take(token.Id);
            text.Append(piece);
            yield return new ChatPiece(piece, token, null) { Calls = stream.TakeCalls() };
            if (stream.Stopped)
            {
                finish = FinishReason.Stop;
                break;
            }
        }

        var rest = stream.Add(decoder.Finish()) + stream.EndMessage(cutOff: finish == FinishReason.Length);
        text.Append(rest);
        finish = stream.Stopped ? FinishReason.Stop : finish; // One may stand in what was held back.
        yield return new ChatPiece(
            rest,
            null,
            new ChatAnswer(
                [.. stream.Messages.Select(parsed => parsed.Message)],
                [.. stream.Messages.Select(parsed => parsed.Call).OfType<Data.Conversations.ToolCall>()],
                finish,
                promptLength,
                count
            )
            {
                Text = text.ToString(),
                CallMessages =
                [
                    .. stream.Messages.Where(parsed => parsed.Call is not null).Select(parsed => parsed.Message),
                ],
                CachedTokens = cached,
            }
        )
        {
            Calls = stream.TakeCalls(),
        };

        // The model may open another turn of its own, as the All Tools format has it: text, then a call.
        string Take(int id) =>
            id == tokenizer.Special.Assistant
                ? stream.Add(decoder.Finish()) + stream.EndMessage()
                : stream.Add(decoder.Add(id));
    }

    // A turn's end always ends an answer, even where a model's files name fewer stop tokens.
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
            // Rules that forbid tokens could leave none of those that a grammar allows.
            Options = request.Grammar is null ? options : options with { MinNewTokens = 0, NoRepeatNgramSize = 0 },
            Adapter = request.Adapter,
            LogProbabilities = request.LogProbabilities,
            TopLogProbabilities = request.TopLogProbabilities,
            Mask = request.Grammar?.NewMask(Template.Tokenizer, ends) ?? request.Mask,
        };
    }
}
