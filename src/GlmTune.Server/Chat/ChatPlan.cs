using GlmTune.Constraints;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>A checked request: what is answered, how often, and in what form it is sent.</summary>
/// <param name="Model">What answers.</param>
/// <param name="Chat">The conversation, and how, without the grammar.</param>
/// <param name="Form">What the answer may be.</param>
/// <param name="Choices">How many answers.</param>
/// <param name="Stream">Whether it comes as events.</param>
/// <param name="IncludeUsage">Whether a last event has the counts.</param>
internal sealed record ChatPlan(
    ServedModel Model,
    ChatRequest Chat,
    AnswerForm Form,
    int Choices,
    bool Stream,
    bool IncludeUsage
)
{
    /// <summary>Checks all that can be checked while looking at each part of the request once.</summary>
    /// <exception cref="ApiException">Something in it is wrong or too much; the error names it.</exception>
    public static ChatPlan Read(ChatCompletionRequest request, ServedModels models, ServerLimits limits)
    {
        var model = models.Named(request.Model);
        var problems = new FieldProblems();
        var generation = request.Options(model.Chat.Template.Tokenizer.Count, limits, problems);
        problems.Range("max_completion_tokens", request.MaxCompletionTokens, 1, int.MaxValue);
        problems.Check(
            request.MaxCompletionTokens is null
                || request.MaxTokens is null
                || request.MaxTokens == request.MaxCompletionTokens,
            "max_completion_tokens",
            "and 'max_tokens' differ; set only one of them"
        );
        problems.Range("top_logprobs", request.TopLogprobs, 0, limits.TopLogprobs);
        problems.Check(
            request.TopLogprobs is null or 0 || request.Logprobs == true,
            "top_logprobs",
            "requires logprobs: true"
        );
        request.CheckUnsupported(problems);
        problems.ThrowIfAny();

        var choice = ToolChoice.Read(request.ToolChoice);
        var declared = RequestTool.ReadAll(request.Tools ?? []);
        var tools = choice.Select(declared);
        return new ChatPlan(
            model,
            new ChatRequest(
                RequestConversation.Read(
                    request.Messages,
                    [.. tools.Select(tool => tool.Definition)],
                    declared.Select(tool => tool.Definition)
                )
            )
            {
                Options = generation with { MaxNewTokens = request.MaxCompletionTokens ?? request.MaxTokens },
                Adapter = model.Adapter,
                StopTexts = request.Stop?.Texts ?? [],
                LogProbabilities = request.Logprobs == true,
                LikeliestTokens = request.TopLogprobs ?? 0,
                StreamCalls = true,
            },
            new AnswerForm(ResponseFormat.Read(request.ResponseFormat, limits), choice.MustCall, tools),
            request.N ?? 1,
            request.Stream == true,
            request.StreamOptions?.IncludeUsage == true
        );
    }

    /// <summary>Makes the prompt's tokens and the grammar, which takes long.</summary>
    /// <exception cref="ApiException">400: the prompt is too long, a tool cannot be shown to this model, or a schema
    /// cannot be kept to.</exception>
    public PreparedPlan Prepare(GrammarCache grammars, ServerLimits limits)
    {
        var prepared = Prepare(Chat);
        PromptLength.Check(prepared.Prompt.Length, Model, limits, "messages");
        return new PreparedPlan(
            Model,
            prepared with
            {
                Grammar = grammars.For(Form),
            },
            Form.SchemaParam,
            Choices,
            Stream,
            IncludeUsage
        );
    }

    private PreparedChat Prepare(ChatRequest request)
    {
        try
        {
            return Model.Chat.Prepare(request);
        }
        catch (InvalidDataException e)
        {
            throw ApiException.Wrong("tools", e.Message);
        }
    }
}

/// <summary>A request that waits only for a place. It keeps nothing of the body but the prompt's tokens.</summary>
/// <param name="Model">What answers.</param>
/// <param name="Chat">The prompt, and how.</param>
/// <param name="SchemaParam">The part of the request whose schema binds the answer.</param>
/// <param name="Choices">How many answers.</param>
/// <param name="Stream">Whether it comes as events.</param>
/// <param name="IncludeUsage">Whether a last event has the counts.</param>
internal sealed record PreparedPlan(
    ServedModel Model,
    PreparedChat Chat,
    string SchemaParam,
    int Choices,
    bool Stream,
    bool IncludeUsage
);

/// <summary>What an answer may be.</summary>
/// <param name="Content">What a plain answer is; null for text.</param>
/// <param name="MustCall">Whether it must be a call instead.</param>
/// <param name="Tools">What may be called.</param>
internal sealed record AnswerForm(AnswerContent? Content, bool MustCall, IReadOnlyList<RequestTool> Tools)
{
    /// <summary>The part of the request whose schema binds the answer.</summary>
    public string SchemaParam => Content?.Schema is null ? "tools" : ResponseFormat.Schema;
}
