using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.AI;

namespace GlmTune.Server.Tests;

/// <summary>Functions that the chat page may run on the server.</summary>
public sealed class ServerToolsTests
{
    private static readonly ServerTools Tools = new(
        [
            AIFunctionFactory.Create((int a, int b) => a + b, "add", "Adds."),
            AIFunctionFactory.Create(string () => throw new InvalidOperationException("out of paper"), "print"),
            AIFunctionFactory.Create(() => new string('x', 40_000), "long"),
        ],
        ["add"]
    );

    [Theory]
    [InlineData("""{"name": "add", "arguments": {"a": 2, "b": 40}}""", "42")]
    [InlineData("""{"name": "add", "arguments": {"a": 2}}""", "Error: ")]
    [InlineData("""{"name": "print", "arguments": {}}""", "Error: out of paper")]
    public async Task A_call_gives_the_result_or_what_went_wrong_as_text(string body, string result)
    {
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var (status, json) = await http.PostAsync("/api/tools/call", body);
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.StartsWith(result, (string)json["result"]!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_list_says_what_runs_unasked_and_long_results_are_cut()
    {
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        var list = System.Text.Json.Nodes.JsonNode.Parse(
            await http.GetStringAsync("/api/tools", TestContext.Current.CancellationToken)
        )!["tools"]!.AsArray();
        Assert.Equal(
            [("add", true), ("print", false), ("long", false)],
            list.Select(tool => ((string)tool!["name"]!, (bool)tool["allowed"]!))
        );
        Assert.Equal("integer", (string?)list[0]!["parameters"]!["properties"]!["a"]!["type"]);
        var (_, json) = await http.PostAsync("/api/tools/call", """{"name": "long", "arguments": {}}""");
        Assert.EndsWith("(truncated: 7232 more characters)", (string)json["result"]!, StringComparison.Ordinal);
    }

    [Theory]
    [
        InlineData("""{"name": "rm", "arguments": {}}""", HttpStatusCode.NotFound),
        InlineData("""{"arguments": {}}""", HttpStatusCode.NotFound)
    ]
    [
        InlineData("""{"name": "add"}""", HttpStatusCode.BadRequest),
        InlineData("""{"name": "add", "arguments": "{}"}""", HttpStatusCode.BadRequest)
    ]
    public async Task Calls_that_cannot_be_are_refused(string body, HttpStatusCode status)
    {
        await using var app = await StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(app.Urls.Single()) };
        Assert.Equal(status, (await http.PostAsync("/api/tools/call", body)).Status);
    }

    [Fact]
    public void Two_tools_of_one_name_and_unknown_names_to_allow_are_refused()
    {
        var add = AIFunctionFactory.Create((int a, int b) => a + b, "add");
        Assert.Contains(
            "'add'",
            Assert.Throws<InvalidDataException>(() => new ServerTools([add, add], [])).Message,
            StringComparison.Ordinal
        );
        var unknown = Assert.Throws<InvalidDataException>(() => new ServerTools([add], ["add", "ad"]));
        Assert.Equal("--allow ad: unknown tool; available: add.", unknown.Message);
    }

    private static async Task<WebApplication> StartAsync()
    {
        var app = ServerApp.Create(new ServerOptions { Port = 0 }, null, Tools.Map);
        await app.StartAsync();
        return app;
    }
}
