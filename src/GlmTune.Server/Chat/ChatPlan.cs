using GlmTune.Constraints;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>A validated request: what to answer, how often, and in which form.</summary>
/// <param name="Model">The model that answers.</param>
/// <param name="Chat">The conversation and its options, still without the grammar.</param>
/// <param name="Form">The allowed form of the answer.</param>
/// <param name="Choices">Number of answers.</param>
/// <param name="Stream">Whether to send events.</param>
/// <param name="IncludeUsage">Whether the last event contains token counts.</param>
internal sealed record ChatPlan(
    ServedModel Model,
    ChatRequest Chat,
    AnswerForm Form,
    int Choices,
    bool Stream,
    bool IncludeUsage
)
{
    /// <summary>Checks everything that can be checked in a single pass over the request.</summary>
    /// <exception cref="ApiException">The request is invalid or exceeds a limit; the error names the field.</exception>
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
                TopLogProbabilities = request.TopLogprobs ?? 0,
                StreamCalls = true,
            },
            new AnswerForm(ResponseFormat.Read(request.ResponseFormat, limits), choice.MustCall, tools),
            request.N ?? 1,
            request.Stream == true,
            request.StreamOptions?.IncludeUsage == true
        );
    }

    /// <summary>Tokenizes the prompt and builds the grammar, which can take long.</summary>
    /// <param name="grammars">Grammars built before.</param>
    /// <param name="limits">Limits on requests.</param>
    /// <param name="client">Whose request it is.</param>
    /// <exception cref="ApiException">400: the prompt is too long, this model has no text for a tool, or a schema
    /// cannot be enforced.</exception>
    public PreparedPlan Prepare(GrammarCache grammars, ServerLimits limits, string client)
    {
        var prepared = Prepare(Chat);
        PromptLength.Check(prepared.Prompt.Length, Model, limits, "messages");
        return new PreparedPlan(
            Model,
            prepared with
            {
                Grammar = grammars.For(Form),
                Client = client,
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

/// <summary>A request that is ready and only waits for a slot. Of the body it keeps only the prompt's tokens.</summary>
/// <param name="Model">The model that answers.</param>
/// <param name="Chat">The prompt and its options.</param>
/// <param name="SchemaParam">The field whose schema constrains the answer.</param>
/// <param name="Choices">Number of answers.</param>
/// <param name="Stream">Whether to send events.</param>
/// <param name="IncludeUsage">Whether the last event contains token counts.</param>
internal sealed record PreparedPlan(
    ServedModel Model,
    PreparedChat Chat,
    string SchemaParam,
    int Choices,
    bool Stream,
    bool IncludeUsage
);

/// <summary>The allowed form of an answer.</summary>
/// <param name="Content">The form of a plain answer; null for text.</param>
/// <param name="MustCall">Whether the answer must be a call instead.</param>
/// <param name="Tools">The tools that may be called.</param>
internal sealed record AnswerForm(AnswerContent? Content, bool MustCall, IReadOnlyList<RequestTool> Tools)
{
    /// <summary>The field whose schema constrains the answer.</summary>
    public string SchemaParam => Content?.Schema is null ? "tools" : ResponseFormat.Schema;
}
