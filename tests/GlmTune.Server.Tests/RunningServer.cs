using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using GlmTune.Inference;
using Microsoft.AspNetCore.Builder;

namespace GlmTune.Server.Tests;

/// <summary>A server over a model of the test's own, on a free port.</summary>
internal sealed class RunningServer : IAsyncDisposable
{
    private readonly ChatModel chat;

    private RunningServer(ChatModel chat, WebApplication app)
    {
        (this.chat, App) = (chat, app);
        Http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
    }

    public WebApplication App { get; }

    public HttpClient Http { get; }

    public Uri Address => Http.BaseAddress!;

    public RequestQueue Queue => (RequestQueue)App.Services.GetService(typeof(RequestQueue))!;

    public static async Task<RunningServer> StartAsync(
        ChatModel chat,
        ServerOptions? options = null,
        string name = "scripted"
    )
    {
        var app = ChatServer.Create(
            new ServedModels(new ServedModel(name, chat)),
            (options ?? new ServerOptions()) with
            {
                Port = 0,
            }
        );
        await app.StartAsync();
        return new RunningServer(chat, app);
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await App.StopAsync();
        await App.DisposeAsync();
        chat.Dispose();
    }
}

/// <summary>Requests as text, answers as JSON.</summary>
internal static partial class Wire
{
    public static HttpContent Json(string body) => new StringContent(body, Encoding.UTF8, "application/json");

    public static async Task<(HttpStatusCode Status, JsonNode Body)> PostAsync(
        this HttpClient http,
        string path,
        string body
    )
    {
        using var response = await http.PostAsync(path, Json(body), TestContext.Current.CancellationToken);
        Assert.Equal("application/json", response.Content.Headers.ContentType?.MediaType);
        return (
            response.StatusCode,
            JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!
        );
    }

    /// <summary>The data of each event.</summary>
    public static async Task<List<string>> EventsAsync(this HttpClient http, string path, string body)
    {
        using var response = await http.PostAsync(path, Json(body), TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(new MediaTypeHeaderValue("text/event-stream"), response.Content.Headers.ContentType);
        var events = (await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).Split(
            "\n\n",
            StringSplitOptions.RemoveEmptyEntries
        );
        Assert.All(events, text => Assert.StartsWith("data: ", text));
        return [.. events.Select(text => text["data: ".Length..])];
    }

    /// <summary>JSON with ids, times and fingerprints made equal, its members in a fixed order.</summary>
    public static string Normal(string json) =>
        Ordered(JsonNode.Parse(Changing().Replace(json, "\"$1\":\"…\"")))!
            .ToJsonString(new JsonSerializerOptions { WriteIndented = true });

    public static void AssertEqual(string expected, string actual) => Assert.Equal(Normal(expected), Normal(actual));

    private static JsonNode? Ordered(JsonNode? node) =>
        node switch
        {
            JsonObject all => new JsonObject(
                all.OrderBy(member => member.Key, StringComparer.Ordinal)
                    .Select(member => KeyValuePair.Create(member.Key, Ordered(member.Value)))
            ),
            JsonArray all => new JsonArray([.. all.Select(Ordered)]),
            _ => node?.DeepClone(),
        };

    [GeneratedRegex(
        "\"(id|created|system_fingerprint)\"\\s*:\\s*(?:\"(?:chatcmpl-|cmpl-|call_(?:[a-z][a-z0-9]*_)?|fp_)"
            + "[0-9a-f]+\"|\\d+|\"…\")"
    )]
    private static partial Regex Changing();
}
