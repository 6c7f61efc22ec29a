using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Runs;
using GlmTune.Server.Board;
using Microsoft.AspNetCore.Builder;

namespace GlmTune.Server.Tests.Board;

/// <summary>What the training page asks for, at the wire.</summary>
public sealed class RunBoardTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-board-").FullName;

    [Fact]
    public async Task Runs_are_listed_described_and_read_as_they_grow()
    {
        using var log = RunLog.Open(Path.Combine(folder, "lora"), 0, 3);
        new RunDescription
        {
            Started = DateTimeOffset.UnixEpoch,
            Model = "m",
            Data = "d",
            Recipe = new JsonObject { ["seed"] = 1 },
        }.Write(Path.Combine(folder, "lora"));
        log.Step(1, [KeyValuePair.Create("loss", 2.0)]);
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var run = Assert.Single((await JsonAsync(http, "/api/runs"))["runs"]!.AsArray())!;
        Assert.Equal(
            ("lora", "running", 1, 3),
            ((string?)run["name"], (string?)run["state"], (int)run["step"]!, (int)run["total_steps"]!)
        );
        var id = (string)run["id"]!;
        Assert.Equal(1, (int)(await JsonAsync(http, $"/api/runs/{id}"))["description"]!["recipe"]!["seed"]!);
        var part = await JsonAsync(http, $"/api/runs/{id}/log");
        Assert.Equal(["start", "step"], part["lines"]!.AsArray().Select(line => (string?)line!["event"]));
        log.End(RunState.Finished);
        part = await JsonAsync(http, $"/api/runs/{id}/log?from={part["next"]}");
        Assert.Equal(["end"], part["lines"]!.AsArray().Select(line => (string?)line!["event"]));
    }

    [Theory]
    [
        InlineData("/api/runs/000000000000", HttpStatusCode.NotFound),
        InlineData("/api/runs/..%2f..%2fetc%2fpasswd", HttpStatusCode.NotFound)
    ]
    [
        InlineData("/api/runs/{id}/log?from=-1", HttpStatusCode.BadRequest),
        InlineData("/api/runs/{id}/log?from=x", HttpStatusCode.BadRequest),
        InlineData("/v1/models", HttpStatusCode.NotFound)
    ]
    public async Task What_is_not_there_or_not_a_place_is_said_so(string path, HttpStatusCode status)
    {
        RunLog.Open(Path.Combine(folder, "run"), 0, 3).Dispose();
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var id = (string)(await JsonAsync(http, "/api/runs"))["runs"]![0]!["id"]!;
        using var response = await http.GetAsync(
            path.Replace("{id}", id, StringComparison.Ordinal),
            TestContext.Current.CancellationToken
        );
        Assert.Equal(status, response.StatusCode);
        Assert.NotNull(
            JsonNode.Parse(await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken))!["error"]
        );
    }

    [Fact]
    public async Task A_key_guards_the_runs_but_not_the_page_that_asks_for_it()
    {
        await using var app = await StartAsync("sesame-open");
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        Assert.Equal(
            HttpStatusCode.Unauthorized,
            (await http.GetAsync("/api/runs", TestContext.Current.CancellationToken)).StatusCode
        );
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/", TestContext.Current.CancellationToken)).StatusCode);
        Assert.Equal(
            HttpStatusCode.OK,
            (await http.GetAsync("/assets/runs.js", TestContext.Current.CancellationToken)).StatusCode
        );
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);

    private async Task<WebApplication> StartAsync(params string[] keys)
    {
        var app = RunBoard.CreateServer([folder], new ServerOptions { Port = 0, ApiKeys = keys });
        await app.StartAsync();
        return app;
    }

    private static async Task<JsonNode> JsonAsync(HttpClient http, string path) =>
        JsonNode.Parse(await http.GetStringAsync(path, TestContext.Current.CancellationToken))!;
}
