using System.ComponentModel;
using GlmTune.Inference.Tests;
using Microsoft.Extensions.AI;

namespace GlmTune.Server.Tests;

/// <summary>Microsoft.Extensions.AI over the OpenAI library: whole, streamed, functions called by themselves, typed
/// answers.</summary>
public sealed class ExtensionsAiTests(NanoServer nano)
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private IChatClient Nano => OpenAiClientTests.Client(nano.Address, "glm-nano").AsIChatClient();

    [Fact]
    public async Task It_chats_and_the_stream_says_the_same()
    {
        ChatMessage[] messages = [new(ChatRole.User, "What is the capital of Italy?")];
        var options = new ChatOptions { Temperature = 0, MaxOutputTokens = 60 };
        var whole = await Nano.GetResponseAsync(messages, options, Stop);
        var streamed = await Nano.GetStreamingResponseAsync(messages, options, Stop).ToChatResponseAsync(Stop);
        Assert.NotEmpty(whole.Text);
        Assert.Equal((whole.Text, whole.FinishReason), (streamed.Text, streamed.FinishReason));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Functions_are_called_and_their_results_answered(bool stream)
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt =>
                prompt.Contains("<|observation|>\n", StringComparison.Ordinal)
                && prompt.Contains("21 degrees", StringComparison.Ordinal)
                    ? "\nIt is warm."
                    : "get_weather\n{\"city\": \"Rome\"}"
            )
        );
        using var client = OpenAiClientTests
            .Client(server.Address, "scripted")
            .AsIChatClient()
            .AsBuilder()
            .UseFunctionInvocation()
            .Build();
        string? asked = null;
        var options = new ChatOptions
        {
            Tools =
            [
                AIFunctionFactory.Create(
                    ([Description("where")] string city) =>
                    {
                        asked = city;
                        return "21 degrees";
                    },
                    "get_weather"
                ),
            ],
        };
        ChatMessage[] messages = [new(ChatRole.User, "Weather in Rome?")];
        var answer = stream
            ? await client.GetStreamingResponseAsync(messages, options, Stop).ToChatResponseAsync(Stop)
            : await client.GetResponseAsync(messages, options, Stop);
        Assert.Equal(("Rome", "It is warm."), (asked, answer.Text));
    }

    [Fact]
    public async Task Answers_come_as_typed_objects()
    {
        var answer = await Nano.GetResponseAsync<Place>(
            "Name a place.",
            new ChatOptions
            {
                Temperature = 0,
                MaxOutputTokens = 1000,
                FrequencyPenalty = 2,
            },
            cancellationToken: Stop
        );
        Assert.True(Enum.IsDefined(answer.Result.Kind));
    }

    private enum Kind
    {
        City,
        Village,
    }

    private sealed record Place(Kind Kind, bool Visited);
}
