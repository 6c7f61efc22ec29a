using System.ClientModel;
using System.Text.Json;
using GlmTune.Inference.Tests;
using OpenAI;
using OpenAI.Chat;

namespace GlmTune.Server.Tests;

using ChatCompletion = OpenAI.Chat.ChatCompletion;

/// <summary>The official OpenAI library for .NET against the server, over real HTTP.</summary>
public sealed class OpenAiClientTests(NanoServer nano)
{
    private static readonly ChatTool Weather = ChatTool.CreateFunctionTool(
        "get_weather",
        "Tells the weather.",
        BinaryData.FromString(
            """{"type":"object","properties":{"city":{"type":"string","minLength":1,"maxLength":12},"days":{"type":"integer","minimum":1,"maximum":7}},"required":["city","days"],"additionalProperties":false}"""
        )
    );

    private static readonly ChatTool Time = ChatTool.CreateFunctionTool("get_time", "Tells the time.");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private ChatClient Nano => Client(nano.Address, "glm-nano");

    [Fact]
    public async Task It_chats_and_the_stream_says_the_same()
    {
        ChatMessage[] messages =
        [
            ChatMessage.CreateSystemMessage("Answer in a sentence."),
            ChatMessage.CreateUserMessage("What is the capital of France?"),
        ];
        var options = new ChatCompletionOptions { Temperature = 0, MaxOutputTokenCount = 60 };
        ChatCompletion whole = await Nano.CompleteChatAsync(messages, options, Stop);
        Assert.Equal(ChatFinishReason.Stop, whole.FinishReason);
        Assert.NotEmpty(whole.Content[0].Text);
        Assert.Equal("glm-nano", whole.Model);
        Assert.Equal(whole.Usage.TotalTokenCount, whole.Usage.InputTokenCount + whole.Usage.OutputTokenCount);

        var (text, finish, usage) = ("", default(ChatFinishReason?), default(ChatTokenUsage));
        await foreach (var update in Nano.CompleteChatStreamingAsync(messages, options, Stop))
        {
            text += string.Concat(update.ContentUpdate.Select(part => part.Text));
            finish = update.FinishReason ?? finish;
            usage = update.Usage ?? usage;
        }

        Assert.Equal(
            (whole.Content[0].Text, whole.FinishReason, whole.Usage.OutputTokenCount),
            (text, finish, usage?.OutputTokenCount)
        );
    }

    [Fact]
    public async Task It_calls_tools_whole_and_streamed()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt =>
                prompt.Contains("<|observation|>", StringComparison.Ordinal)
                    ? "\nSunny in Paris."
                    : "get_weather\n{\"city\": \"Paris\", \"days\": 2}"
            )
        );
        var client = Client(server.Address, "scripted");
        var options = new ChatCompletionOptions
        {
            Tools = { Weather, Time },
            ToolChoice = ChatToolChoice.CreateAutoChoice(),
            AllowParallelToolCalls = false,
        };
        List<ChatMessage> messages = [ChatMessage.CreateUserMessage("Weather in Paris?")];
        ChatCompletion asked = await client.CompleteChatAsync(messages, options, Stop);
        Assert.Equal(ChatFinishReason.ToolCalls, asked.FinishReason);
        var call = Assert.Single(asked.ToolCalls);
        Assert.Equal(
            ("get_weather", "{\"city\": \"Paris\", \"days\": 2}"),
            (call.FunctionName, call.FunctionArguments.ToString())
        );

        var (arguments, name, id) = ("", "", "");
        await foreach (var update in client.CompleteChatStreamingAsync(messages, options, Stop))
        {
            foreach (var piece in update.ToolCallUpdates)
            {
                (name, id) = (piece.FunctionName ?? name, piece.ToolCallId ?? id);
                arguments += piece.FunctionArgumentsUpdate.ToString();
            }
        }

        Assert.Equal((call.FunctionName, call.FunctionArguments.ToString()), (name, arguments));
        Assert.StartsWith("call_", id);
        messages.Add(ChatMessage.CreateAssistantMessage(asked));
        messages.Add(ChatMessage.CreateToolMessage(call.Id, "sun"));
        ChatCompletion answered = await client.CompleteChatAsync(messages, options, Stop);
        Assert.Equal("Sunny in Paris.", answered.Content[0].Text);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("get_weather")]
    public async Task A_required_call_is_made_and_keeps_to_the_tools_schema(string? name)
    {
        var options = new ChatCompletionOptions
        {
            Tools = { Weather, Time },
            ToolChoice = name is null
                ? ChatToolChoice.CreateRequiredChoice()
                : ChatToolChoice.CreateFunctionChoice(name),
            MaxOutputTokenCount = 300,
            Seed = 1,
            Temperature = 0,
        };
        ChatCompletion answer = await Nano.CompleteChatAsync([ChatMessage.CreateUserMessage("Hello!")], options, Stop);
        var call = Assert.Single(answer.ToolCalls);
        Assert.Contains(call.FunctionName, (string[])["get_weather", "get_time"]);
        using var arguments = JsonDocument.Parse(call.FunctionArguments);
        if (name is not null)
        {
            Assert.Equal(name, call.FunctionName);
            Assert.InRange(arguments.RootElement.GetProperty("city").GetString()!.Length, 1, 24);
            Assert.InRange(arguments.RootElement.GetProperty("days").GetInt32(), 1, 7);
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Structured_answers_keep_to_their_schema(float temperature)
    {
        var format = ChatResponseFormat.CreateJsonSchemaFormat(
            "city",
            BinaryData.FromString(
                """
                {"type":"object","properties":{"name":{"type":"string","maxLength":10},"kind":{"enum":["city","village"]},"visited":{"type":"boolean"},
                 "tags":{"type":"array","items":{"type":"string","pattern":"^[a-z]{1,4}$"},"minItems":1,"maxItems":2},"next":{"anyOf":[{"$ref":"#/$defs/place"},{"type":"null"}]}},
                 "required":["name","kind","visited","tags","next"],"additionalProperties":false,
                 "$defs":{"place":{"type":"object","properties":{"x":{"type":"integer","minimum":-3,"maximum":12}},"required":["x"],"additionalProperties":false}}}
                """
            ),
            jsonSchemaIsStrict: true
        );
        ChatCompletion answer = await Nano.CompleteChatAsync(
            [ChatMessage.CreateUserMessage("What is the capital of France?")],
            new ChatCompletionOptions
            {
                ResponseFormat = format,
                Temperature = temperature,
                Seed = 3,
                MaxOutputTokenCount = 500,
            },
            Stop
        );
        Assert.Equal(ChatFinishReason.Stop, answer.FinishReason);
        using var json = JsonDocument.Parse(answer.Content[0].Text);
        Assert.Equal(
            ["name", "kind", "visited", "tags", "next"],
            json.RootElement.EnumerateObject().Select(member => member.Name)
        );
        Assert.InRange(json.RootElement.GetProperty("tags").GetArrayLength(), 1, 2);
    }

    [Fact]
    public async Task Any_JSON_object_can_be_asked_for_with_log_probabilities()
    {
        ChatCompletion answer = await Nano.CompleteChatAsync(
            [ChatMessage.CreateUserMessage("Give me JSON.")],
            new ChatCompletionOptions
            {
                ResponseFormat = ChatResponseFormat.CreateJsonObjectFormat(),
                Temperature = 0,
                FrequencyPenalty = 2,
                MaxOutputTokenCount = 120,
                IncludeLogProbabilities = true,
                TopLogProbabilityCount = 3,
            },
            Stop
        );
        Assert.StartsWith("{", answer.Content[0].Text);
        Assert.Equal(
            answer.Content[0].Text,
            System.Text.Encoding.UTF8.GetString([
                .. answer.ContentTokenLogProbabilities.SelectMany(token => token.Utf8Bytes!.Value.ToArray()),
            ])
        );
        Assert.All(answer.ContentTokenLogProbabilities, token => Assert.Equal(3, token.TopLogProbabilities.Count));
    }

    [Fact]
    public async Task Errors_reach_the_client_with_their_status_and_words()
    {
        var error = await Assert.ThrowsAsync<ClientResultException>(() =>
            Client(nano.Address, "gpt-4")
                .CompleteChatAsync([ChatMessage.CreateUserMessage("x")], cancellationToken: Stop)
        );
        Assert.Equal(404, error.Status);
        Assert.Contains("model_not_found", error.Message);
    }

    [Fact]
    public async Task It_lists_the_models() =>
        Assert.Equal(
            "glm-nano",
            Assert.Single((await Open(nano.Address).GetOpenAIModelClient().GetModelsAsync(Stop)).Value).Id
        );

    internal static OpenAIClient Open(Uri server) =>
        new(new ApiKeyCredential("any"), new OpenAIClientOptions { Endpoint = new Uri(server, "v1") });

    internal static ChatClient Client(Uri server, string model) => Open(server).GetChatClient(model);
}
