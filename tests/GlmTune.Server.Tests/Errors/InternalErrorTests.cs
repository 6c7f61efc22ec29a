using System.Net;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests.Errors;

/// <summary>What goes wrong inside is a 500 without its words; only what the request has wrong is a 4xx.</summary>
public sealed class InternalErrorTests
{
    private const string Inside = "a word from inside";

    public static TheoryData<string> Kinds => ["argument", "range", "disposed", "operation", "data"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task A_failure_of_the_model_is_the_servers(string kind)
    {
        await using var server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => throw Made(kind)));
        foreach (
            var (path, body) in ((string, string)[])
                [
                    ("/v1/chat/completions", """{"messages":[{"role":"user","content":"x"}]}"""),
                    ("/v1/completions", """{"prompt":[257,258,263,10,120,264]}"""),
                ]
        )
        {
            var (status, answer) = await server.Http.PostAsync(path, body);
            Assert.Equal(HttpStatusCode.InternalServerError, status);
            Assert.Equal("server_error", answer["error"]!["type"]!.GetValue<string>());
            Assert.DoesNotContain(Inside, answer.ToJsonString(), StringComparison.Ordinal);
            var events = await server.Http.EventsAsync(path, $"{{\"stream\":true,{body[1..]}");
            Assert.Contains("server_error", events[^1], StringComparison.Ordinal);
            Assert.DoesNotContain(Inside, string.Concat(events), StringComparison.Ordinal);
        }

        Assert.Equal((0, 0), (server.Queue.Running, server.Queue.Waiting));
    }

    [Fact]
    public async Task An_answer_without_memory_is_a_503_and_the_next_one_is_answered()
    {
        var fails = true;
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => fails ? throw new InsufficientMemoryException(Inside) : "fine")
        );
        const string Path = "/v1/chat/completions";
        const string Body = """{"messages":[{"role":"user","content":"x"}]}""";
        var (status, answer) = await server.Http.PostAsync(Path, Body);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Contains(
            "ran out of memory for this answer",
            answer["error"]!["message"]!.GetValue<string>(),
            StringComparison.Ordinal
        );
        var events = await server.Http.EventsAsync(Path, $"{{\"stream\":true,{Body[1..]}");
        Assert.Contains("ran out of memory", events[^1], StringComparison.Ordinal);
        fails = false;
        (status, _) = await server.Http.PostAsync(Path, Body);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal((0, 0), (server.Queue.Running, server.Queue.Waiting));
    }

    private static Exception Made(string kind) =>
        kind switch
        {
            "argument" => new ArgumentException(Inside),
            "range" => new ArgumentOutOfRangeException(nameof(kind), Inside),
            "disposed" => new ObjectDisposedException(Inside),
            "operation" => new InvalidOperationException(Inside),
            _ => new InvalidDataException(Inside),
        };
}
