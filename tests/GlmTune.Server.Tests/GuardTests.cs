using System.Net;
using System.Net.Http.Headers;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

public sealed class GuardTests
{
    private const string Ask = """{"messages":[{"role":"user","content":"x"}]}""";

    [Fact]
    public async Task Keys_are_asked_for_everywhere_but_where_nothing_is_told()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { ApiKeys = ["first-key-1234", "second-key-5678"] }
        );
        foreach (var path in (string[])["/v1/models", "/metrics", "/v1/nothing"])
        {
            Assert.Equal(
                HttpStatusCode.Unauthorized,
                (await server.Http.GetAsync(path, TestContext.Current.CancellationToken)).StatusCode
            );
        }

        Assert.Equal(
            HttpStatusCode.OK,
            (await server.Http.GetAsync("/health", TestContext.Current.CancellationToken)).StatusCode
        );
        var (status, body) = await server.Http.PostAsync("/v1/chat/completions", Ask);
        Assert.Equal(
            (HttpStatusCode.Unauthorized, "invalid_api_key"),
            (status, body["error"]!["code"]!.GetValue<string>())
        );
        foreach (
            var (key, expected) in ((string, HttpStatusCode)[])
                [
                    ("first-key-1234", HttpStatusCode.OK),
                    ("second-key-5678", HttpStatusCode.OK),
                    ("first-key-123", HttpStatusCode.Unauthorized),
                    ("first-key-12345", HttpStatusCode.Unauthorized),
                ]
        )
        {
            server.Http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
            Assert.Equal(expected, (await server.Http.PostAsync("/v1/chat/completions", Ask)).Status);
        }
    }

    [Theory]
    [InlineData("localhost", 200)]
    [InlineData("127.0.0.1:80", 200)]
    [InlineData("inside.example", 200)]
    [InlineData("evil.example", 403)]
    [InlineData("localhost.evil.example", 403)]
    public async Task On_loopback_only_names_of_this_machine_are_answered(string host, int expected)
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { AllowedHosts = ["inside.example"] }
        );
        using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/models") { Headers = { Host = host } };
        Assert.Equal(
            expected,
            (int)(await server.Http.SendAsync(request, TestContext.Current.CancellationToken)).StatusCode
        );
    }

    [Fact]
    public async Task Pages_of_other_sites_are_refused_unless_allowed()
    {
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(_ => "\nx"),
            new ServerOptions { CorsOrigins = ["https://good.example"] }
        );
        async Task<HttpResponseMessage> Send(HttpMethod method, string origin)
        {
            var request = new HttpRequestMessage(method, "/v1/models")
            {
                Headers = { { "Origin", origin }, { "Access-Control-Request-Method", "GET" } },
            };
            return await server.Http.SendAsync(request, TestContext.Current.CancellationToken);
        }

        Assert.Equal(HttpStatusCode.Forbidden, (await Send(HttpMethod.Get, "https://evil.example")).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await Send(HttpMethod.Options, "https://evil.example")).StatusCode);
        var own = await Send(HttpMethod.Get, server.Address.GetLeftPart(UriPartial.Authority));
        Assert.Equal(HttpStatusCode.OK, own.StatusCode);
        Assert.False(own.Headers.Contains("Access-Control-Allow-Origin"));
        Assert.Equal(
            "https://good.example",
            Assert.Single(
                (await Send(HttpMethod.Get, "https://good.example")).Headers.GetValues("Access-Control-Allow-Origin")
            )
        );
        Assert.Equal(HttpStatusCode.NoContent, (await Send(HttpMethod.Options, "https://good.example")).StatusCode);
    }

    [Fact]
    public void A_file_of_keys_says_what_is_wrong_with_it()
    {
        var path = Path.GetTempFileName();
        File.WriteAllText(path, "# mine\n\nshort\nlong-enough-key\nwith white space\n");
        var error = Assert.Throws<InvalidDataException>(() => ApiKeyFile.Read(path));
        Assert.Equal(
            [
                $"{path}, line 3: a key needs at least 8 ASCII characters without white space.",
                $"{path}, line 5: a key needs at least 8 ASCII characters without white space.",
            ],
            error.Message.Split('\n')
        );
        File.WriteAllText(path, "# mine\n\n  long-enough-key \n");
        Assert.Equal(["long-enough-key"], ApiKeyFile.Read(path));
        File.Delete(path);
    }
}
