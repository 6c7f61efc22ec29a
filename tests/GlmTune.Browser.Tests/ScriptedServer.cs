using System.Collections.Concurrent;
using System.Text.Json;
using GlmTune.Server;
using GlmTune.Server.Board;
using GlmTune.Server.Pages;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace GlmTune.Browser.Tests;

/// <summary>The pages over a model that says what a test tells it to: deterministic, and at once.</summary>
internal sealed class ScriptedServer : IAsyncDisposable
{
    private readonly WebApplication app;

    private ScriptedServer(WebApplication app) => this.app = app;

    public string Address => app.Urls.First();

    /// <summary>What was asked for, in order.</summary>
    public ConcurrentQueue<JsonElement> Requests { get; } = [];

    /// <summary>The answer to a request, in pieces; by default it repeats the last message, with the model's
    /// name.</summary>
    public Func<JsonElement, IEnumerable<object>> Answer { get; set; } =
        request => [Say($"{Text(request, "model")} says: "), Say(LastMessage(request)), End("stop")];

    /// <summary>Holds answers back at a piece that is null, until it is set.</summary>
    public TaskCompletionSource Gate { get; set; } = new();

    /// <summary>Done when a client went away in the middle of an answer.</summary>
    public TaskCompletionSource Aborted { get; } = new();

    public static async Task<ScriptedServer> StartAsync(ServerOptions? options = null, ServerTools? tools = null)
    {
        ScriptedServer? server = null;
        options = (options ?? new ServerOptions()) with { Port = 0 };
        server = new ScriptedServer(
            ServerApp.Create(
                options,
                null,
                app =>
                {
                    app.MapPageFiles();
                    app.MapPage("/", "chat.html");
                    new RunBoard(options.RunFolders, hasChat: true).Map(app);
                    (tools ?? ServerTools.None).Map(app);
                    app.MapGet(
                        "/v1/models",
                        () =>
                            Results.Json(
                                new
                                {
                                    data = new[]
                                    {
                                        new { id = "base", max_model_len = 2048 },
                                        new { id = "tuned", max_model_len = 2048 },
                                    },
                                }
                            )
                    );
                    app.MapPost("/v1/chat/completions", (HttpContext context) => server!.AnswerAsync(context));
                }
            )
        );
        await server.app.StartAsync();
        return server;
    }

    /// <summary>A piece of text.</summary>
    public static object Say(string text) =>
        new { choices = new[] { new { index = 0, delta = new { content = text } } } };

    /// <summary>Thoughts before the answer.</summary>
    public static object Think(string text) =>
        new { choices = new[] { new { index = 0, delta = new { reasoning_content = text } } } };

    /// <summary>A whole call.</summary>
    public static object Call(string id, string name, string arguments) =>
        new
        {
            choices = new[]
            {
                new
                {
                    index = 0,
                    delta = new
                    {
                        tool_calls = new[]
                        {
                            new
                            {
                                index = 0,
                                id,
                                type = "function",
                                function = new { name, arguments },
                            },
                        },
                    },
                },
            },
        };

    /// <summary>The end of an answer.</summary>
    public static object End(string reason) =>
        new
        {
            choices = new[]
            {
                new
                {
                    index = 0,
                    delta = new { },
                    finish_reason = reason,
                },
            },
        };

    public static string LastMessage(JsonElement request) =>
        Text(request.GetProperty("messages").EnumerateArray().Last(), "content");

    public static string Text(JsonElement element, string name) => element.GetProperty(name).GetString()!;

    /// <summary>The messages of a request, as "role: content".</summary>
    public static IEnumerable<string> Messages(JsonElement request) =>
        request
            .GetProperty("messages")
            .EnumerateArray()
            .Select(message => $"{Text(message, "role")}: {message.GetProperty("content").GetString()}");

    public async ValueTask DisposeAsync()
    {
        Gate.TrySetResult();
        await app.DisposeAsync();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        using var body = await JsonDocument.ParseAsync(context.Request.Body);
        var request = body.RootElement.Clone();
        Requests.Enqueue(request);
        context.Response.ContentType = "text/event-stream";
        try
        {
            foreach (var piece in Answer(request))
            {
                if (piece is null)
                {
                    await Gate.Task.WaitAsync(context.RequestAborted);
                    continue;
                }

                await context.Response.WriteAsync(
                    $"data: {JsonSerializer.Serialize(piece)}\n\n",
                    context.RequestAborted
                );
                await context.Response.Body.FlushAsync(context.RequestAborted);
            }

            await context.Response.WriteAsync(
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\ndata: [DONE]\n\n",
                context.RequestAborted
            );
        }
        catch (OperationCanceledException)
        {
            Aborted.TrySetResult();
        }
    }
}
