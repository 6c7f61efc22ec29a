using System.Text;
using GlmTune.Constraints;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary><c>POST /v1/chat/completions</c>: answers a conversation, complete or as a stream of events.</summary>
internal sealed class ChatEndpoint(
    ServedModels models,
    ServerOptions options,
    Admission admission,
    GrammarCache grammars
)
{
    private static readonly GenerationOperation Operation = new("chat");

    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost(
                "/v1/chat/completions",
                (HttpContext context, ChatEndpoint endpoint) => endpoint.AnswerAsync(context)
            )
            .Accepts<ChatCompletionRequest>("application/json")
            .Produces<ChatCompletion>()
            .WithErrors()
            .WithMetadata(Operation)
            .WithSummary("Answers a conversation, complete or as server-sent events.");

    private async Task<IResult> AnswerAsync(HttpContext context)
    {
        var request = await RequestBody.ReadAsync<ChatCompletionRequest>(context, options.Limits);
        var read = ChatPlan.Read(request, models, options.Limits);
        models.Use(context, read.Model);
        var measured = MeasuredRequest.Of(context);
        measured.Name(Operation, read.Model.Id);
        var admitted = await admission.EnterAsync(
            context,
            read.Choices,
            () => read.Prepare(grammars, options.Limits, ApiKeyGuard.ClientOf(context))
        );
        var plan = admitted.Prepared;
        if (plan.Stream)
        {
            return EventStream.Of(
                context,
                admitted.Deadline,
                (events, cancellation) => StreamAsync(admitted, measured, events, cancellation)
            );
        }

        var choices = await AnswersAsync(
            admitted,
            measured,
            (_, updates) => WholeAsync(plan, updates),
            admitted.Deadline.Token
        );
        return ApiJson.Result(
            new ChatCompletion(
                NewId(),
                DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
                plan.Model.Id,
                [.. choices.Select(choice => choice.Choice)],
                Usage.Of(choices.Select(choice => choice.Usage))
            )
            {
                SystemFingerprint = models.Fingerprint,
            }
        );
    }

    private static async Task<T[]> AnswersAsync<T>(
        Admitted<PreparedPlan> admitted,
        MeasuredRequest measured,
        Func<int, IAsyncEnumerable<AnswerUpdate>, Task<T>> read,
        CancellationToken cancellation
    )
    {
        try
        {
            return await admitted.MakeAsync(
                (first, count, stop) =>
                    AnswerUpdate
                        .ReadSome(admitted.Prepared, first, count, measured, stop)
                        .Select((updates, index) => read(first + index, updates)),
                cancellation
            );
        }
        catch (ConstraintException e)
        {
            // Some schemas turn out to be too large only during generation.
            throw ApiException.Wrong(admitted.Prepared.SchemaParam, e.Message);
        }
    }

    private static async Task<(ChatChoice Choice, Usage Usage)> WholeAsync(
        PreparedPlan plan,
        IAsyncEnumerable<AnswerUpdate> updates
    )
    {
        var text = new StringBuilder();
        var logprobs = new List<TokenLogprob>();
        await foreach (var update in updates)
        {
            text.Append(update.Text);
            logprobs.AddRange(update.Logprobs ?? []);
            if (update.Answer is { } answer)
            {
                var calls = answer
                    .Calls.Zip(
                        answer.CallMessages,
                        (call, written) =>
                            new AnsweredCall(
                                WrittenCall.NewId(WrittenCall.FormOf(call, written)),
                                new AnsweredFunction(call.Name, call.Arguments)
                            )
                    )
                    .ToList();
                var message = new ChatChoiceMessage(calls.Count > 0 && text.Length == 0 ? null : text.ToString())
                {
                    ReasoningContent = answer.Reasoning.Length > 0 ? answer.Reasoning : null,
                    ToolCalls = calls.Count > 0 ? calls : null,
                };
                return (
                    new ChatChoice(
                        update.Choice,
                        message,
                        update.FinishReason!,
                        plan.Chat.LogProbabilities ? new ChatLogprobs(logprobs) : null
                    ),
                    Usage.Of(answer)
                );
            }
        }

        throw new InvalidOperationException("An answer did not end.");
    }

    private async Task StreamAsync(
        Admitted<PreparedPlan> admitted,
        MeasuredRequest measured,
        EventStream events,
        CancellationToken cancellation
    )
    {
        var plan = admitted.Prepared;
        var (id, created) = (NewId(), DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        var usages = await AnswersAsync(admitted, measured, OneAsync, cancellation);
        if (plan.IncludeUsage)
        {
            events.Write(ApiJson.Text(Chunk([]) with { Usage = Usage.Of(usages) }));
        }

        async Task<Usage> OneAsync(int choice, IAsyncEnumerable<AnswerUpdate> updates)
        {
            Write(choice, new ChunkDelta { Role = "assistant", Content = "" });
            var usage = new Usage(0, 0);
            await foreach (var update in updates)
            {
                if (update.Reasoning.Length > 0)
                {
                    Write(choice, new ChunkDelta { ReasoningContent = update.Reasoning });
                }

                if (update.Text.Length > 0)
                {
                    Write(choice, new ChunkDelta { Content = update.Text }, logprobs: update.Logprobs);
                }

                foreach (var call in update.Calls)
                {
                    Write(
                        choice,
                        new ChunkDelta
                        {
                            ToolCalls =
                            [
                                new ChunkCall(call.Index, new ChunkFunction(call.Name, call.Arguments))
                                {
                                    Id = call.Name is null ? null : WrittenCall.NewId(call.Form),
                                    Type = call.Name is null ? null : "function",
                                },
                            ],
                        }
                    );
                }

                if (update.Answer is { } answer)
                {
                    usage = Usage.Of(answer);
                    Write(choice, new ChunkDelta(), update.FinishReason);
                }
            }

            return usage;
        }

        void Write(int choice, ChunkDelta delta, string? finish = null, IReadOnlyList<TokenLogprob>? logprobs = null) =>
            events.Write(
                ApiJson.Text(
                    Chunk([
                        new ChunkChoice(
                            choice,
                            delta,
                            finish,
                            logprobs is { Count: > 0 } ? new ChatLogprobs(logprobs) : null
                        ),
                    ])
                )
            );

        ChatChunk Chunk(IReadOnlyList<ChunkChoice> choices) =>
            new(id, created, plan.Model.Id, choices) { SystemFingerprint = models.Fingerprint };
    }

    private static string NewId() => $"chatcmpl-{Guid.NewGuid():N}";
}
