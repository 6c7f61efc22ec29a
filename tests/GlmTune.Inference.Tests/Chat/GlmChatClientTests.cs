using System.Text.Json;
using Microsoft.Extensions.AI;

namespace GlmTune.Inference.Tests.Chat;

public class GlmChatClientTests
{
    private static readonly AIFunction Weather = AIFunctionFactory.Create(
        (string city) => "warm",
        "get_weather",
        "The weather of a city"
    );

    [Fact]
    public async Task A_whole_answer_has_text_usage_and_reason()
    {
        using var client = Client(_ => "\nHello.", out var prompts);
        var response = await client.GetResponseAsync([
            new(ChatRole.System, "Be kind."),
            new(ChatRole.User, "Hi"),
            new(ChatRole.Assistant, "Yes?\nWhat?"),
            new(ChatRole.User, "Hi"),
        ]);
        Assert.Equal("Hello.", response.Text);
        Assert.Equal(
            "[gMASK]<sop><|system|>\nBe kind.<|user|>\nHi<|assistant|>\nYes?\nWhat?<|user|>\nHi<|assistant|>",
            prompts()[^1]
        );
        Assert.Equal(ChatFinishReason.Stop, response.FinishReason);
        Assert.Equal("glm-4", response.ModelId);
        var usage = response.Usage!;
        Assert.Equal((33, 8, 41), (usage.InputTokenCount, usage.OutputTokenCount, usage.TotalTokenCount));
        Assert.Equal(ChatRole.Assistant, Assert.Single(response.Messages).Role);
    }

    [Fact]
    public async Task A_streamed_answer_comes_in_pieces_and_ends_with_the_reason()
    {
        using var client = Client(_ => "\nHello.", out _);
        var updates = await Collect(
            client.GetStreamingResponseAsync([new(ChatRole.User, "Hi")], new ChatOptions { MaxOutputTokens = 4 })
        );
        Assert.Equal(["H", "e", "l", ""], updates.Select(update => update.Text));
        Assert.Equal([null, null, null, ChatFinishReason.Length], updates.Select(update => update.FinishReason));
        Assert.Single(updates.Select(update => update.ResponseId).Distinct());
    }

    [Fact]
    public void A_response_format_is_kept_to_and_calls_stay_free()
    {
        using var client = Client(_ => "\nx", out _);
        var options = new ChatOptions
        {
            ResponseFormat = ChatResponseFormat.ForJsonSchema(AIJsonUtilities.CreateJsonSchema(typeof(int[]))),
            Tools = [Weather],
        };
        var grammar = ChatMessages.Read([new(ChatRole.User, "Hi")], options, client).Grammar!;
        Assert.All(["\n[1, 2]", "get_weather\n{\"city\": \"x\"}"], text => Assert.True(grammar.Takes(text), text));
        Assert.All(["\n{}", "\nHello", "other\n{}"], text => Assert.False(grammar.Takes(text), text));
        Assert.True(
            ChatMessages
                .Read([new(ChatRole.User, "Hi")], new ChatOptions { ResponseFormat = ChatResponseFormat.Json }, client)
                .Grammar!.Takes("\n{}")
        );
        Assert.Null(
            ChatMessages
                .Read([new(ChatRole.User, "Hi")], new ChatOptions { ResponseFormat = ChatResponseFormat.Text }, client)
                .Grammar
        );
    }

    [Theory]
    [InlineData("get_weather\n{\"city\": \"北京\"}<|observation|>")]
    [InlineData("\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"北京\"}}")]
    public async Task Function_calls_of_both_styles_arrive_as_such(string answer)
    {
        using var client = Client(
            prompt => prompt.Contains("<|observation|>", StringComparison.Ordinal) ? "\nWarm." : answer,
            out var prompts
        );
        var messages = new List<ChatMessage> { new(ChatRole.User, "Weather?") };
        var options = new ChatOptions { Tools = [Weather], Instructions = "Be kind." };
        var response = await client.GetResponseAsync(messages, options);
        Assert.Equal(ChatFinishReason.ToolCalls, response.FinishReason);
        var call = Assert.IsType<FunctionCallContent>(Assert.Single(response.Messages[0].Contents));
        Assert.Equal(("get_weather", "北京"), (call.Name, ((JsonElement)call.Arguments!["city"]!).GetString()));
        Assert.Contains(
            "## get_weather\n\n{\n    \"name\": \"get_weather\",\n    \"description\": \"The weather of a city\",\n    "
                + "\"parameters\": {",
            prompts()[0],
            StringComparison.Ordinal
        );
        Assert.Contains("<|system|>\nBe kind.<|user|>", prompts()[0], StringComparison.Ordinal);

        messages.AddRange([
            .. response.Messages,
            new(ChatRole.Tool, [new FunctionResultContent(call.CallId, new { t = 30 })]),
        ]);
        Assert.Equal("Warm.", (await client.GetResponseAsync(messages, options)).Text);
        Assert.EndsWith(
            $"<|assistant|>{answer.Replace("<|observation|>", "", StringComparison.Ordinal)}<|observation|>\n{{\"t\": "
                + $"30}}<|assistant|>",
            prompts()[^1],
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task The_function_invoking_client_calls_functions_through_it()
    {
        using var client = Client(
            prompt =>
                prompt.Contains("<|observation|>\nwarm", StringComparison.Ordinal)
                    ? "\nIt is warm."
                    : "get_weather\n{\"city\": \"x\"}<|observation|>",
            out _
        );
        var options = new ChatOptions { Tools = [Weather] };
        var first = await client.GetResponseAsync([new(ChatRole.User, "Weather?")], options);
        var call = first.Messages[0].Contents.OfType<FunctionCallContent>().Single();
        var result = await Weather.InvokeAsync(new AIFunctionArguments(call.Arguments));
        var second = await client.GetResponseAsync(
            [
                new(ChatRole.User, "Weather?"),
                .. first.Messages,
                new(ChatRole.Tool, [new FunctionResultContent(call.CallId, result)]),
            ],
            options
        );
        Assert.Equal("It is warm.", second.Text);
    }

    [Fact]
    public async Task A_required_function_is_called_whatever_the_model_would_say()
    {
        using var client = Client(_ => "get_weather\n{\"city\": \"x\"}", out var prompts);
        var options = new ChatOptions
        {
            Tools = [Weather, AIFunctionFactory.Create(() => 1, "other")],
            ToolMode = ChatToolMode.RequireSpecific("get_weather"),
        };
        var response = await client.GetResponseAsync([new(ChatRole.User, "Hi")], options);
        Assert.Equal("get_weather", response.Messages[0].Contents.OfType<FunctionCallContent>().Single().Name);
        Assert.DoesNotContain("## other", prompts()[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Tools_are_neither_shown_nor_recognised_in_mode_none()
    {
        using var client = Client(_ => "get_weather\n{}", out var prompts);
        var response = await client.GetResponseAsync(
            [new(ChatRole.User, "Hi")],
            new ChatOptions { Tools = [Weather], ToolMode = ChatToolMode.None }
        );
        Assert.Equal("get_weather\n{}", response.Text);
        Assert.DoesNotContain("get_weather", prompts()[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stop_sequences_end_the_answer()
    {
        using var client = Client(_ => "\nOne. Two. Three.", out _);
        var response = await client.GetResponseAsync(
            [new(ChatRole.User, "Hi")],
            new ChatOptions { StopSequences = ["Two"] }
        );
        Assert.Equal(("One.", ChatFinishReason.Stop), (response.Text, response.FinishReason));
    }

    [Fact]
    public void A_call_with_a_number_beyond_all_bounds_can_be_given_back()
    {
        using var client = Client(_ => "\nx", out _);
        const string Written = "{\"city\":  1e99999999999}";
        var call = new FunctionCallContent(
            "1",
            "get_weather",
            JsonSerializer.Deserialize<Dictionary<string, object?>>(Written)
        )
        {
            AdditionalProperties = new() { [ChatMessages.WrittenArguments] = Written },
        };
        var read = ChatMessages.Read(
            [
                new(ChatRole.User, "Hi"),
                new(ChatRole.Assistant, [call]),
                new(ChatRole.Tool, [new FunctionResultContent("1", "x")]),
            ],
            null,
            client
        );
        Assert.Contains("1e99999999999", read.Conversation.Messages[1].Content, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Many_callers_are_answered_side_by_side()
    {
        using var client = Client(prompt => $"\nYes, {prompt.Split('?')[0][^3..]}.", out _);
        var answers = await Task.WhenAll(
            Enumerable
                .Range(0, 40)
                .Select(i => Task.Run(() => client.GetResponseAsync([new(ChatRole.User, $"{i:000}?")])))
        );
        Assert.Equal(Enumerable.Range(0, 40).Select(i => $"Yes, {i:000}."), answers.Select(answer => answer.Text));
    }

    [Fact]
    public async Task Cancellation_ends_the_answer_and_the_next_one_goes_on()
    {
        // The model cannot come to the end of its answer before it is cancelled.
        using var ended = new ManualResetEventSlim();
        var tokens = 0;
        using var cancellation = new CancellationTokenSource();
        using var client = Client(
            prompt =>
            {
                if (!prompt.Contains("long", StringComparison.Ordinal))
                {
                    return "\nHello.";
                }

                if (++tokens > 100)
                {
                    ended.Wait();
                }

                return new string('x', 400);
            },
            out _
        );
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (
                var update in client.GetStreamingResponseAsync(
                    [new(ChatRole.User, "long")],
                    cancellationToken: cancellation.Token
                )
            )
            {
                await cancellation.CancelAsync();
            }
        });
        ended.Set();
        Assert.Equal("Hello.", (await client.GetResponseAsync([new(ChatRole.User, "Hi")])).Text);
    }

    [Fact]
    public async Task What_cannot_be_answered_is_explained()
    {
        using var client = Client(_ => throw new InvalidOperationException("The model broke."), out _);
        Assert.Contains(
            "Nothing to answer",
            (await Assert.ThrowsAsync<ArgumentException>(() => client.GetResponseAsync([]))).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "Nothing to answer",
            (
                await Assert.ThrowsAsync<ArgumentException>(() =>
                    client.GetResponseAsync([new(ChatRole.Assistant, "Hi")])
                )
            ).Message,
            StringComparison.Ordinal
        );
        Assert.Contains(
            "DataContent",
            (
                await Assert.ThrowsAsync<ArgumentException>(() =>
                    client.GetResponseAsync([new(ChatRole.User, [new DataContent(new byte[1], "image/png")])])
                )
            ).Message,
            StringComparison.Ordinal
        );
        Assert.Equal(
            "The model broke.",
            (
                await Assert.ThrowsAsync<InvalidOperationException>(() =>
                    client.GetResponseAsync([new(ChatRole.User, "Hi")])
                )
            ).Message
        );
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            client.GetResponseAsync([new(ChatRole.User, "Hi again")])
        );
    }

    [Fact]
    public async Task Services_and_disposal_are_as_the_interface_wants()
    {
        var model = ScriptedChat.Answering(_ => "\nHello.");
        var client = new GlmChatClient(model, "mine", ownsModel: true);
        Assert.Same(client, client.GetService<GlmChatClient>());
        Assert.Same(model, client.GetService<ChatModel>());
        Assert.Equal("mine", client.GetService<ChatClientMetadata>()!.DefaultModelId);
        client.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => client.GetResponseAsync([new(ChatRole.User, "Hi")]));
    }

    private static GlmChatClient Client(Func<string, string> script, out Func<IReadOnlyList<string>> prompts)
    {
        var seen = new System.Collections.Concurrent.ConcurrentQueue<string>();
        prompts = () => [.. seen];
        return new GlmChatClient(
            ScriptedChat.Answering(prompt =>
            {
                seen.Enqueue(prompt);
                return script(prompt);
            }),
            ownsModel: true
        );
    }

    private static async Task<List<ChatResponseUpdate>> Collect(IAsyncEnumerable<ChatResponseUpdate> updates)
    {
        var list = new List<ChatResponseUpdate>();
        await foreach (var update in updates)
        {
            list.Add(update);
        }

        return list;
    }
}
