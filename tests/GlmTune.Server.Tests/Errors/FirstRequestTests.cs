using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests.Errors;

/// <summary>What goes wrong with a person's first request gets a sentence that helps.</summary>
public sealed class FirstRequestTests : IAsyncLifetime
{
    private const string Ask = """{"messages":[{"role":"user","content":"x"}]}""";
    private RunningServer server = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() =>
        server = await RunningServer.StartAsync(ScriptedChat.Answering(_ => "\nx"));

    public ValueTask DisposeAsync() => server.DisposeAsync();

    [Theory]
    [InlineData("application/x-www-form-urlencoded")] // curl -d
    [InlineData("text/plain; charset=utf-8")]
    [InlineData("multipart/form-data")]
    [InlineData("application/octet-stream")]
    [InlineData(null)]
    public async Task Every_wrong_type_is_told_the_header_that_is_right(string? type)
    {
        foreach (var path in (string[])["/v1/chat/completions", "/v1/completions", "/api/tools/call"])
        {
            using var content = new ByteArrayContent(Encoding.UTF8.GetBytes(Ask));
            content.Headers.ContentType = type is null ? null : MediaTypeHeaderValue.Parse(type);
            using var response = await server.Http.PostAsync(path, content, Stop);
            Assert.Equal(HttpStatusCode.UnsupportedMediaType, response.StatusCode);
            Assert.Contains("'Content-Type: application/json'", await MessageAsync(response), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("POST", "/v1/v1/chat/completions", "Did you mean /v1/chat/completions?")]
    [InlineData("POST", "/chat/completions", "Did you mean /v1/chat/completions?")]
    [InlineData("POST", "/v1/chat/completions/", "")]
    [InlineData("POST", "/api/paas/v4/chat/completions", "Did you mean /v1/chat/completions?")]
    [InlineData("POST", "/openai/v1/Completions", "Did you mean /v1/completions?")]
    [InlineData("GET", "/models", "Did you mean /v1/models?")]
    [InlineData(
        "GET",
        "/v1",
        "This is the base URL for clients; chat completions are at http://127.0.0.1:PORT/v1/chat/completions."
    )]
    [InlineData("POST", "/v1/embeddings", "Supported OpenAI endpoints: /v1/chat/completions, /v1/completions")]
    [InlineData("GET", "/wp-login.php", "Nothing found at /wp-login.php.")]
    public async Task A_path_with_nothing_at_it_names_the_one_that_is_meant(string method, string path, string message)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        request.Content = method == "POST" ? Wire.Json(Ask) : null;
        using var response = await server.Http.SendAsync(request, Stop);
        if (message.Length == 0)
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            return;
        }

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        var told = await MessageAsync(response);
        var port = $"{server.Address.Port}";
        Assert.Contains(message.Replace("PORT", port, StringComparison.Ordinal), told, StringComparison.Ordinal);
        if (message.StartsWith("Did", StringComparison.Ordinal))
        {
            Assert.EndsWith($"The base URL for clients is http://127.0.0.1:{port}/v1.", told, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_wrong_method_is_told_the_right_one()
    {
        using var response = await server.Http.GetAsync("/v1/chat/completions", Stop);
        Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
        Assert.Equal("/v1/chat/completions does not support GET; use POST.", await MessageAsync(response));
    }

    [Fact]
    public async Task Bytes_of_another_encoding_are_told()
    {
        // "{"messages":[{"role":"user","content":"你好"}]}" as a Chinese Windows console sends it.
        byte[] body = [.. "{\"messages\":[{\"role\":\"user\",\"content\":\""u8, 0xC4, 0xE3, 0xBA, 0xC3, .. "\"}]}"u8];
        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using var response = await server.Http.PostAsync("/v1/chat/completions", content, Stop);
        Assert.Equal(HttpStatusCode.BadRequest, response.StatusCode);
        Assert.StartsWith(
            "The body is not UTF-8 (byte 40 is 0xC4).",
            await MessageAsync(response),
            StringComparison.Ordinal
        );
    }

    [Theory]
    [InlineData("/health")]
    [InlineData("/")]
    public async Task Monitors_may_ask_for_the_head_alone(string path)
    {
        using var request = new HttpRequestMessage(HttpMethod.Head, path);
        using var response = await server.Http.SendAsync(request, Stop);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Empty(await response.Content.ReadAsByteArrayAsync(Stop));
    }

    [Theory]
    [InlineData("FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n")]
    [InlineData("zz\r\n{}\r\n0\r\n\r\n")]
    [InlineData("2\r\n{}}}\r\n0\r\n\r\n")]
    public async Task A_body_that_is_framed_wrongly_is_the_clients_fault(string body)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, server.Address.Port, Stop);
        await client
            .GetStream()
            .WriteAsync(
                Encoding.ASCII.GetBytes(
                    "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        + $"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}"
                ),
                Stop
            );
        using var reader = new StreamReader(client.GetStream());
        Assert.Equal("HTTP/1.1 400 Bad Request", await reader.ReadLineAsync(Stop));
    }

    private static async Task<string> MessageAsync(HttpResponseMessage response) =>
        JsonNode.Parse(await response.Content.ReadAsStringAsync(Stop))!["error"]!["message"]!.GetValue<string>();
}
