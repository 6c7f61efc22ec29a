using System.Runtime.CompilerServices;
using System.Text.Json;
using GlmTune.Constraints;
using GlmTune.Data.Conversations;
using Microsoft.Extensions.AI;
using GlmToolCall = GlmTune.Data.Conversations.ToolCall;

namespace GlmTune.Inference;

/// <summary>A GLM-4 model as a chat client of Microsoft.Extensions.AI: complete and streamed answers, usage, function
/// calls.</summary>
/// <remarks>Thread-safe: requests of several callers are answered concurrently. Temperature 0 means greedy decoding;
/// <c>repetition_penalty</c> is read from the additional properties; <see cref="GenerationOptions"/> from the raw
/// representation factory take precedence over all other options. A specific required function is always called; "any
/// function" is guaranteed only if exactly one is declared. A JSON response format, with or without a schema, is
/// enforced as described at <see cref="AnswerGrammar"/>.</remarks>
/// <param name="model">The chat model.</param>
/// <param name="modelId">Its name in responses.</param>
/// <param name="ownsModel">Whether disposing the client also disposes <paramref name="model"/>.</param>
public sealed class GlmChatClient(ChatModel model, string modelId = "glm-4", bool ownsModel = false) : IChatClient
{
    private readonly ChatClientMetadata metadata = new("glmtune", defaultModelId: modelId);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">There is nothing to answer, something is not supported by this model, or
    /// options are out of range.</exception>
    public Task<ChatResponse> GetResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    ) => GetStreamingResponseAsync(messages, options, cancellationToken).ToChatResponseAsync(cancellationToken);

    /// <inheritdoc/>
    /// <exception cref="ArgumentException">There is nothing to answer, something is not supported by this model, or
    /// options are out of range.</exception>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
        IEnumerable<ChatMessage> messages,
        ChatOptions? options = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentNullException.ThrowIfNull(messages);
        return StreamAsync(ChatMessages.Read(messages, options, this), options?.ModelId ?? modelId, cancellationToken);
    }

    /// <summary>Number of tokens of the prompt that a request becomes.</summary>
    /// <inheritdoc cref="GetStreamingResponseAsync"/>
    public int CountPromptTokens(IEnumerable<ChatMessage> messages, ChatOptions? options = null) =>
        model.Prepare(ChatMessages.Read(messages, options, this)).Prompt.Length;

    /// <summary>Max tokens of prompt and answer together.</summary>
    public int ContextLimit(ChatOptions? options = null) =>
        model.ContextLimit(
            options?.RawRepresentationFactory?.Invoke(this) as GenerationOptions ?? new GenerationOptions()
        );

    /// <inheritdoc/>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : serviceType.IsInstanceOfType(this) ? this
            : serviceType.IsInstanceOfType(metadata) ? metadata
            : serviceType.IsInstanceOfType(model) ? model
            : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (ownsModel)
        {
            model.Dispose();
        }
    }

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(
        ChatRequest request,
        string answeringModel,
        [EnumeratorCancellation] CancellationToken cancellation
    )
    {
        var id = $"chatcmpl-{Guid.NewGuid():N}";
        var created = DateTimeOffset.UtcNow;
        await foreach (var piece in model.StreamAsync(request, cancellation))
        {
            if (piece.Reasoning.Length > 0)
            {
                yield return Update([new TextReasoningContent(piece.Reasoning)], null);
            }

            if (piece.Text.Length > 0)
            {
                yield return Update([new TextContent(piece.Text)], null);
            }

            if (piece.Answer is { } answer)
            {
                foreach (var (call, message) in answer.Calls.Zip(answer.CallMessages))
                {
                    yield return Update([Call(call, message)], null);
                }

                var usage = new UsageContent(
                    new UsageDetails
                    {
                        InputTokenCount = answer.PromptTokens,
                        OutputTokenCount = answer.AnswerTokens,
                        TotalTokenCount = answer.PromptTokens + answer.AnswerTokens,
                        CachedInputTokenCount = answer.CachedTokens,
                        ReasoningTokenCount = answer.ReasoningTokens,
                    }
                );
                yield return Update(
                    [usage],
                    answer.Calls.Count > 0 ? ChatFinishReason.ToolCalls
                        : answer.Finish == FinishReason.Length ? ChatFinishReason.Length
                        : ChatFinishReason.Stop
                );
            }
        }

        ChatResponseUpdate Update(IList<AIContent> contents, ChatFinishReason? finish) =>
            new(ChatRole.Assistant, contents)
            {
                ResponseId = id,
                MessageId = id,
                ModelId = answeringModel,
                CreatedAt = created,
                FinishReason = finish,
            };
    }

    private static FunctionCallContent Call(GlmToolCall call, Message message) =>
        new(
            WrittenCall.NewId(WrittenCall.FormOf(call, message)),
            call.Name,
            JsonSerializer.Deserialize<Dictionary<string, object?>>(call.Arguments)
        )
        {
            RawRepresentation = message,
            AdditionalProperties = new() { [ChatMessages.WrittenArguments] = call.Arguments },
        };
}
