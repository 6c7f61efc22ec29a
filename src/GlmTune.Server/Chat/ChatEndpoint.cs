using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary><c>POST /v1/chat/completions</c>.</summary>
internal sealed class ChatEndpoint(ServedModels models, ServerOptions options)
{
    public static void Map(IEndpointRouteBuilder app) =>
        app.MapPost("/v1/chat/completions", (HttpContext context, ChatEndpoint endpoint) => endpoint.AnswerAsync(context))
            .Accepts<ChatCompletionRequest>("application/json").Produces<ChatCompletion>().Produces<ErrorBody>(StatusCodes.Status400BadRequest)
            .WithSummary("Answers a conversation, whole or as server-sent events.");

    private async Task<IResult> AnswerAsync(HttpContext context)
    {
        var request = await RequestBody.ReadAsync<ChatCompletionRequest>(context, options.Limits.JsonDepth);
        var model = models.Named(request.Model);
        var problems = new FieldProblems();
        var generation = request.Options(options.Limits, problems);
        problems.ThrowIfAny();
        var chat = new ChatRequest(RequestConversation.Read(request.Messages, [], options.Limits))
        {
            Options = generation,
            Adapter = model.Adapter,
            StopTexts = request.Stop?.Texts ?? [],
        };
        var answer = await model.Chat.AnswerAsync(chat, context.RequestAborted);
        return ApiJson.Result(new ChatCompletion(
            $"chatcmpl-{Guid.NewGuid():N}",
            DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
            model.Id,
            [new ChatChoice(0, new ChatChoiceMessage(answer.Text), FinishOf(answer), null)],
            new Usage(answer.PromptTokens, answer.AnswerTokens))
        {
            SystemFingerprint = "fp_glmtune",
        });
    }

    private static string FinishOf(ChatAnswer answer) => answer.Calls.Count > 0 ? "tool_calls" : answer.Finish == FinishReason.Length ? "length" : "stop";
}
