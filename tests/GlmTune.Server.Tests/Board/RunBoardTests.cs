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
    // Reads are only given up where one hangs, which none of these do.
    private static readonly BoardPatience Endless = new(TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(10));

    private readonly TemporaryFolder runs = new();

    private string Folder => runs.At("board");

    [Fact]
    public async Task Runs_are_listed_described_and_read_as_they_grow()
    {
        using var log = RunLog.Open(Path.Combine(Folder, "lora"), 0, 3);
        new RunDescription
        {
            Started = DateTimeOffset.UnixEpoch,
            Model = "m",
            Data = "d",
            Recipe = new JsonObject { ["seed"] = 1 },
        }.Write(Path.Combine(Folder, "lora"));
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
        RunLog.Open(Path.Combine(Folder, "run"), 0, 3).Dispose();
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

    [Fact]
    public async Task Files_made_to_harm_are_problems_of_their_runs_and_the_list_goes_on()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no such pipes.");
        const string start = """{"event":"start","time":"2026-01-01T00:00:00Z","step":0,"total_steps":9}""" + "\n";
        const string step = """{"event":"step","time":"2026-01-01T00:00:01Z","step":4,"loss":2.5}""" + "\n";
        var secret = runs.Write("outside/secret.json", """{"token":"swordfish"}""" + "\n");
        runs.Write("board/good/log.jsonl", start + step);
        runs.Pipe("board", "pipe", "log.jsonl");
        runs.Write("board/run-pipe/log.jsonl", start + step);
        runs.Pipe("board", "run-pipe", "run.json");
        runs.Pipe("board", "state-pipe", "trainer_state.json");
        Directory.CreateDirectory(runs.At("board", "link"));
        File.CreateSymbolicLink(runs.At("board", "link", "log.jsonl"), secret);
        runs.Write(
            "board/python/checkpoint-1/trainer_state.json",
            """{"global_step":1,"max_steps":1,"log_history":[{"loss":1,"step":1,"x":{"y":[1]}}]}"""
        );
        File.CreateSymbolicLink(runs.At("board", "python", "checkpoint-1", "adapter_config.json"), secret);
        runs.Write(
            "board/surrogate/log.jsonl",
            start + """{"event":"\ud800","time":"\ud800","step":1}""" + "\n" + step
        );
        runs.Write(
            "board/deep/log.jsonl",
            start + """{"event":"note","text":""" + $"{new string('[', 62)}1{new string(']', 62)}}}\n" + step
        );
        runs.Write("board/twice/trainer_state.json", """{"global_step":1,"global_step":2,"log_history":[]}""");
        runs.Write("board/recipe/log.jsonl", start + step);
        runs.Write(
            "board/recipe/run.json",
            """{"started":"2026-01-01T00:00:00Z","model":"m","data":"d","recipe":{"a":"""
                + $"{new string('[', 60)}{new string(']', 60)}}}}}"
        );
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var listed = (await JsonAsync(http, "/api/runs"))["runs"]!.AsArray().ToDictionary(run => (string)run!["name"]!);
        Assert.Equal(
            ["deep", "good", "link", "pipe", "python", "recipe", "run-pipe", "state-pipe", "surrogate", "twice"],
            listed.Keys.Order(StringComparer.Ordinal)
        );
        foreach (var (name, run) in listed)
        {
            Assert.Equal(name is not ("good" or "python"), run!["problem"] is not null);
            var described = await http.GetStringAsync($"/api/runs/{run["id"]}", TestContext.Current.CancellationToken);
            var log = await http.GetStringAsync($"/api/runs/{run["id"]}/log", TestContext.Current.CancellationToken);
            Assert.DoesNotContain("swordfish", described + log, StringComparison.Ordinal);
        }

        // Whatever surrounds a damaged line or a damaged description is read.
        Assert.All(
            (string[])["surrogate", "deep", "recipe", "run-pipe"],
            name => Assert.Equal((4, 2.5), ((int)listed[name]!["step"]!, (double)listed[name]!["loss"]!))
        );
    }

    public void Dispose() => runs.Dispose();

    private async Task<WebApplication> StartAsync(params string[] keys)
    {
        var app = RunBoard.CreateServer([Folder], new ServerOptions { Port = 0, ApiKeys = keys }, Endless);
        await app.StartAsync();
        return app;
    }

    private static async Task<JsonNode> JsonAsync(HttpClient http, string path) =>
        JsonNode.Parse(await http.GetStringAsync(path, TestContext.Current.CancellationToken))!;
}
