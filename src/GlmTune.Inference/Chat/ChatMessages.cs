using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Constraints;
using GlmTune.Data.Conversations;
using GlmTune.Data.Templates;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference;

/// <summary>Converts messages and options of Microsoft.Extensions.AI to a GLM-4 conversation.</summary>
internal static class ChatMessages
{
    /// <summary>The additional property of a function call that contains its arguments as the model wrote
    /// them.</summary>
    public const string WrittenArguments = "written_arguments";

    /// <exception cref="ArgumentException">This model does not support a role, a content, a tool or a response schema;
    /// there is no message; or the last one is from the assistant.</exception>
    public static ChatRequest Read(IEnumerable<ChatMessage> messages, ChatOptions? options, IChatClient client)
    {
        var builtIn = (options?.Tools ?? [])
            .Where(tool => tool is HostedCodeInterpreterTool or HostedWebSearchTool)
            .Select(tool => Read(tool).Name)
            .ToHashSet(StringComparer.Ordinal);
        var conversation = InCallOrder(messages).SelectMany(message => Read(message, builtIn)).ToList();
        if (conversation.Count == 0 || conversation[^1].Role is Role.Assistant or Role.System)
        {
            throw new ArgumentException("Nothing to answer: the last message must be from a user or a tool.");
        }

        var required = options?.ToolMode as RequiredChatToolMode;
        IReadOnlyList<ToolDefinition> tools =
            options?.ToolMode is NoneChatToolMode ? [] : [.. (options?.Tools ?? []).Select(Read)];
        if (required?.RequiredFunctionName is { } name)
        {
            tools = [.. tools.Where(tool => tool.Name == name)];
        }

        if (options?.Instructions is { Length: > 0 } instructions)
        {
            conversation.Insert(0, new Message(Role.System, instructions));
        }

        // Tools go into a system message of their own, before the caller's.
        if (tools.Count > 0)
        {
            conversation.Insert(0, new Message(Role.System, "") { Tools = tools });
        }

        return new ChatRequest(new Conversation(conversation))
        {
            Options = (options?.RawRepresentationFactory?.Invoke(client) as GenerationOptions ?? new()).Over(
                Read(options)
            ),
            StopTexts = [.. options?.StopSequences ?? []],
            Grammar =
                required is null && options?.ResponseFormat is ChatResponseFormatJson json
                    ? AnswerGrammar.Of(
                        new AnswerContent(json.Schema),
                        [.. tools.Select(tool => new CallableTool(tool.Name, null))]
                    )
                    : null,
            RequiredTool = required is null
                ? null
                : required.RequiredFunctionName ?? (tools.Count == 1 ? tools[0].Name : null),
        };
    }

    /// <summary>A function's result as the observation's text.</summary>
    public static string Text(object? result) =>
        result switch
        {
            null => "null",
            string text => text,
            JsonElement { ValueKind: JsonValueKind.String } text => text.GetString()!,
            JsonElement json => json.GetRawText(),
            _ => Json(result),
        };

    /// <summary>Formatted like the JSON in the model's training: with a space after each comma and colon.</summary>
    public static string Json(object value) =>
        PythonJson.Write(
            JsonSerializer.SerializeToElement(value, AIJsonUtilities.DefaultOptions.GetTypeInfo(value.GetType())),
            indent: null
        );

    // One message per result, in the order of the calls that their ids name.
    private static ChatMessage[] InCallOrder(IEnumerable<ChatMessage> messages)
    {
        List<ChatMessage> each =
        [
            .. messages.SelectMany(message =>
                message.Role == ChatRole.Tool
                    ? message.Contents.Select(content => new ChatMessage(ChatRole.Tool, [content]))
                    : [message]
            ),
        ];
        return ToolResultOrder.Sort(
            each,
            message =>
                message.Role == ChatRole.Assistant
                    ? message.Contents.OfType<FunctionCallContent>().Select(call => call.CallId)
                    : null,
            message => message.Role == ChatRole.Tool,
            CallId,
            found =>
                throw new ArgumentException(
                    $"The results of functions cannot be matched with their calls: '{found.Field}' {found.Text}."
                )
        );

        static string? CallId(ChatMessage message) => (message.Contents[0] as FunctionResultContent)?.CallId;
    }

    private static IEnumerable<Message> Read(ChatMessage message, HashSet<string> builtIn)
    {
        if (message.Role == ChatRole.Tool)
        {
            return message.Contents.Select(content => new Message(
                Role.Observation,
                ToolResult.Shown(
                    content switch
                    {
                        FunctionResultContent { Exception: { } error, Result: null } => $"Error: {error.Message}",
                        FunctionResultContent result => Text(result.Result),
                        TextContent text => text.Text,
                        _ => throw Unknown(content),
                    }
                )
            ));
        }

        if (message.Role == ChatRole.Assistant)
        {
            return Assistant(message, builtIn);
        }

        var role =
            message.Role == ChatRole.User ? Role.User
            : message.Role == ChatRole.System || message.Role.Value == "developer" ? Role.System
            : throw new ArgumentException(
                $"A message has role '{message.Role.Value}'; expected system, user, assistant or tool."
            );
        return
        [
            new Message(
                role,
                string.Concat(
                    message.Contents.Select(content => (content as TextContent ?? throw Unknown(content)).Text)
                )
            ),
        ];
    }

    private static IEnumerable<Message> Assistant(ChatMessage message, HashSet<string> builtIn)
    {
        if (message.Text.Length > 0)
        {
            yield return new Message(Role.Assistant, message.Text);
        }

        foreach (var content in message.Contents)
        {
            if (content is FunctionCallContent { RawRepresentation: Message written })
            {
                yield return written; // The model's own words, in the style in which it wrote the call.
            }
            else if (content is FunctionCallContent call)
            {
                yield return WrittenCall.Message(call.CallId, call.Name, Arguments(call), builtIn.Contains(call.Name));
            }
            else if (content is not (TextContent or TextReasoningContent or UsageContent))
            {
                throw Unknown(content);
            }
        }
    }

    // As the model wrote them, if they have not changed.
    private static string Arguments(FunctionCallContent call)
    {
        var arguments = JsonSerializer.SerializeToElement(
            new Dictionary<string, object?>(call.Arguments ?? new Dictionary<string, object?>()),
            AIJsonUtilities.DefaultOptions.GetTypeInfo(typeof(Dictionary<string, object?>))
        );
        var written = call.AdditionalProperties?.GetValueOrDefault(WrittenArguments) switch
        {
            string text => text,
            JsonElement { ValueKind: JsonValueKind.String } text => text.GetString(),
            _ => null,
        };
        return written is not null && Same(written, arguments) ? written : PythonJson.Write(arguments, indent: null);

        static bool Same(string written, JsonElement arguments)
        {
            try
            {
                using var document = JsonDocument.Parse(written);
                return PythonJson.Write(document.RootElement, indent: null)
                    == PythonJson.Write(arguments, indent: null); // Handles numbers of any size, unlike DeepEquals.
            }
            catch (Exception e) when (e is JsonException or InvalidOperationException)
            {
                return false;
            }
        }
    }

    private static ToolDefinition Read(AITool tool) =>
        tool switch
        {
            AIFunctionDeclaration function => new ToolDefinition(
                "function",
                function.Name,
                new JsonObject
                {
                    ["name"] = function.Name,
                    ["description"] = function.Description,
                    ["parameters"] = JsonNode.Parse(function.JsonSchema.GetRawText()),
                }.ToJsonString()
            ),
            HostedCodeInterpreterTool => new ToolDefinition("python", "python", ""),
            HostedWebSearchTool => new ToolDefinition("simple_browser", "simple_browser", ""),
            _ => throw new ArgumentException(
                $"The tool '{tool.Name}' is a {tool.GetType().Name}; expected a function, a code interpreter or a web "
                    + "search."
            ),
        };

    private static GenerationOptions Read(ChatOptions? options)
    {
        if (options is null)
        {
            return new GenerationOptions();
        }

        var greedy = options.Temperature == 0 || options.TopP == 0;
        return new GenerationOptions
        {
            MaxNewTokens = options.MaxOutputTokens,
            DoSample =
                greedy ? false
                : options.Temperature is not null || options.TopP is not null || options.TopK is not null ? true
                : null,
            Temperature = greedy ? 1 : options.Temperature,
            TopP = greedy ? 1 : options.TopP,
            TopK = options.TopK,
            Seed = options.Seed,
            FrequencyPenalty = options.FrequencyPenalty,
            PresencePenalty = options.PresencePenalty,
            RepetitionPenalty =
                options.AdditionalProperties?.TryGetValue("repetition_penalty", out double penalty) == true
                    ? penalty
                    : null,
        };
    }

    private static ArgumentException Unknown(AIContent content) =>
        new(
            $"A message contains {content.GetType().Name}, which this model does not support; expected text, "
                + "a function call or its result."
        );
}
