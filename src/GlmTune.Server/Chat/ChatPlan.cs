using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Data.Conversations;
using GlmTune.Inference;

namespace GlmTune.Server;

/// <summary>A checked request: what is answered, how often, and how it is told.</summary>
/// <param name="Model">What answers.</param>
/// <param name="Chat">The conversation, and how.</param>
/// <param name="Choices">How many answers.</param>
/// <param name="Stream">Whether it comes as events.</param>
/// <param name="IncludeUsage">Whether a last event tells the counts.</param>
internal sealed partial record ChatPlan(ServedModel Model, ChatRequest Chat, int Choices, bool Stream, bool IncludeUsage)
{
    /// <exception cref="ApiException">Something in it is wrong or too much; the error names it.</exception>
    public static ChatPlan Read(ChatCompletionRequest request, ServedModels models, GrammarCache grammars, ServerLimits limits)
    {
        var model = models.Named(request.Model);
        var problems = new FieldProblems();
        var generation = request.Options(limits, problems);
        problems.Range("max_completion_tokens", request.MaxCompletionTokens, 1, int.MaxValue);
        problems.Check(
            request.MaxCompletionTokens is null || request.MaxTokens is null || request.MaxTokens == request.MaxCompletionTokens, "max_completion_tokens", "and 'max_tokens' differ; give one of them");
        problems.Range("top_logprobs", request.TopLogprobs, 0, limits.TopLogprobs);
        problems.Check(request.TopLogprobs is null or 0 || request.Logprobs == true, "top_logprobs", "needs logprobs: true");
        problems.Check((request.Tools?.Count ?? 0) <= limits.Tools, "tools", $"has {request.Tools?.Count} tools; expected at most {limits.Tools}");
        problems.ThrowIfAny();

        var choice = ToolChoice.Read(request.ToolChoice);
        var tools = choice.Select(Tools(request.Tools ?? []));
        var conversation = RequestConversation.Read(request.Messages, [.. tools.Select(tool => tool.Definition)], limits);
        var prompt = Render(model, conversation);
        PromptLength.Check(prompt.Length, model, limits, "messages");
        return new ChatPlan(
            model,
            new ChatRequest(conversation)
            {
                Prompt = prompt,
                Options = generation with { MaxNewTokens = request.MaxCompletionTokens ?? request.MaxTokens },
                Adapter = model.Adapter,
                StopTexts = request.Stop?.Texts ?? [],
                LogProbabilities = request.Logprobs == true,
                LikeliestTokens = request.TopLogprobs ?? 0,
                Grammar = grammars.For(ResponseFormat(request.ResponseFormat, limits), choice.MustCall, tools),
                StreamCalls = true,
            },
            request.N ?? 1,
            request.Stream == true,
            request.StreamOptions?.IncludeUsage == true);
    }

    private static List<RequestTool> Tools(IReadOnlyList<JsonElement> given)
    {
        var tools = new List<RequestTool>();
        foreach (var (index, tool) in given.Index())
        {
            ToolDefinition definition;
            try
            {
                definition = ToolDefinition.Read(tool);
            }
            catch (InvalidDataException e)
            {
                throw ApiException.Wrong($"tools[{index}]", $"'tools[{index}]': {e.Message}");
            }
            catch (InvalidOperationException)
            {
                throw ApiException.Wrong($"tools[{index}]", $"'tools[{index}]' holds half of a surrogate pair, which is no character.");
            }

            if (!ToolName().IsMatch(definition.Name))
            {
                throw ApiException.Wrong($"tools[{index}].function.name", $"'{Shown.Of(definition.Name)}' is no name of a tool; expected 1 to 64 letters, digits, '_', '-' or '.'.");
            }

            if (tools.Exists(other => other.Definition.Name == definition.Name))
            {
                throw ApiException.Wrong($"tools[{index}].function.name", $"Two tools are called '{Shown.Of(definition.Name)}'.");
            }

            tools.Add(RequestTool.Of(definition));
        }

        return tools;
    }

    // null: text.
    private static AnswerContent? ResponseFormat(JsonElement? format, ServerLimits limits)
    {
        if (format is not { ValueKind: not JsonValueKind.Null } given)
        {
            return null;
        }

        var type = given.ValueKind == JsonValueKind.Object && given.TryGetProperty("type", out var named) && named.ValueKind == JsonValueKind.String ? Words.Of(named, "response_format.type") : null;
        if (type is "text" or "json_object")
        {
            return type == "text" ? null : new AnswerContent(null);
        }

        if (type != "json_schema")
        {
            throw ApiException.Wrong("response_format.type", "'response_format' needs the type text, json_object or json_schema.");
        }

        if (!given.TryGetProperty("json_schema", out var wrapper) || wrapper.ValueKind != JsonValueKind.Object
            || !wrapper.TryGetProperty("schema", out var schema) || schema.ValueKind is not (JsonValueKind.Object or JsonValueKind.True))
        {
            throw ApiException.Wrong("response_format.json_schema", "'response_format.json_schema' needs a 'schema' that is an object.");
        }

        return schema.GetRawText().Length <= limits.SchemaBytes ? new AnswerContent(schema)
            : throw ApiException.Wrong("response_format.json_schema", $"The schema is longer than {limits.SchemaBytes} characters.");
    }

    private static int[] Render(ServedModel model, Conversation conversation)
    {
        try
        {
            return model.Chat.Template.RenderPrompt(conversation);
        }
        catch (InvalidDataException e)
        {
            throw ApiException.Wrong("tools", e.Message);
        }
    }

    [GeneratedRegex(@"^[\p{L}\p{N}_.-]{1,64}\z", RegexOptions.CultureInvariant)]
    private static partial Regex ToolName();
}

/// <summary>A declared tool as the prompt shows it, and what its arguments must be.</summary>
/// <param name="Definition">Without <c>strict</c>, which is not for the model.</param>
/// <param name="Parameters">The schema of its arguments; null for one of the model's own tools.</param>
/// <param name="Strict">Whether its arguments keep to the schema for certain.</param>
internal sealed record RequestTool(ToolDefinition Definition, JsonElement? Parameters, bool Strict)
{
    // A function without parameters takes none.
    private static readonly JsonElement NoParameters = JsonDocument.Parse("""{"type":"object","additionalProperties":false}""").RootElement;

    public static RequestTool Of(ToolDefinition definition)
    {
        if (definition.Json.Length == 0)
        {
            return new RequestTool(definition, null, false);
        }

        using var document = JsonDocument.Parse(definition.Json);
        var function = document.RootElement;
        var parameters = function.TryGetProperty("parameters", out var schema) && schema.ValueKind == JsonValueKind.Object ? schema.Clone() : NoParameters;
        if (!function.TryGetProperty("strict", out var strict))
        {
            return new RequestTool(definition, parameters, false);
        }

        var shown = JsonNode.Parse(definition.Json)!.AsObject();
        shown.Remove("strict");
        return new RequestTool(definition with { Json = shown.ToJsonString(ApiJson.Options) }, parameters, strict.ValueKind == JsonValueKind.True);
    }
}
