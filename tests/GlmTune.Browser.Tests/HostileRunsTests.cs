using GlmTune.Runs;
using GlmTune.Server;
using GlmTune.Server.Board;
using Microsoft.AspNetCore.Builder;
using Microsoft.Playwright;

namespace GlmTune.Browser.Tests;

/// <summary>The training page over logs made to break it: it stays usable, and one section never empties
/// another.</summary>
public sealed class HostileRunsTests(Chromium chromium) : BrowserTests(chromium)
{
    private const string Start = """{"event":"start","time":"2026-01-01T00:00:00Z","step":0,"total_steps":10}""";
    private const string Step = """{"event":"step","time":"2026-01-01T00:00:01Z","step":1,"loss":2}""";
    private const string Evaluation =
        """{"event":"evaluation","time":"2026-01-01T00:00:01Z","step":1,"eval_loss":1.75}""";
    private const string Note = """{"event":"note","time":"2026-01-01T00:00:02Z","text":"the note"}""";

    private readonly TemporaryFolder folder = new();

    [Theory]
    [InlineData(
        """{"event":"step","step":100000000000000000,"loss":1}""",
        """{"event":"step","step":100000000000000016,"loss":2}"""
    )]
    [InlineData(
        """{"event":"step","step":9007199254740990,"loss":1}""",
        """{"event":"step","step":9007199254740991,"loss":2}"""
    )]
    [InlineData(
        """{"event":"step","step":9223372036854775807,"loss":1}""",
        """{"event":"step","step":-9223372036854775808,"loss":2}"""
    )]
    [InlineData("""{"event":"step","step":"a","loss":1}""", """{"event":"step","step":{},"loss":2}""")]
    [InlineData("""{"event":"step","step":7,"loss":1e308}""", """{"event":"step","step":3,"loss":-1e308}""")]
    [InlineData(
        """{"event":"step","step":2,"loss":5e-324}""",
        """{"event":"step","step":3,"loss":1e-320,"seconds":"x"}"""
    )]
    [InlineData(
        """{"event":"answers","step":1,"answers":5}""",
        """{"event":"answers","step":1,"answers":[null,1,"a",{}]}"""
    )]
    [InlineData(
        """{"event":"answers","step":1,"answers":[{"line":1}]}""",
        """{"event":"answers","step":"x","answers":[{"line":{}}]}"""
    )]
    [InlineData("""{"event":"note","time":{},"text":{"a":1}}""", """{"event":"note"}""")]
    [InlineData("""{"event":"saved","folder":[1]}""", """{"event":"progress","done":"x","total":{}}""")]
    [InlineData("""{"event":"step","step":2,"__proto__":4,"constructor":5,"toString":7,"loss":1}""", "not a line")]
    public async Task A_hostile_log_leaves_every_section_of_its_run_in_place(string first, string second)
    {
        folder.Write("run/log.jsonl", string.Join('\n', Start, Step, Evaluation, Note, first, second) + "\n");
        new RunDescription
        {
            Started = DateTimeOffset.UnixEpoch,
            Model = "the model",
            Data = "d",
            Recipe = new() { ["seed"] = 1 },
        }.Write(folder.At("run"));
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(server.Urls.First() + "/runs");
        await Assertions.Expect(tab.Page.Locator(".notes")).ToContainTextAsync("the note");
        await Assertions.Expect(tab.Page.Locator(".chart").First.Locator("path.curve")).ToHaveCountAsync(2);
        await Assertions.Expect(tab.Page.Locator("main")).ToContainTextAsync("eval_loss");
        await Assertions.Expect(tab.Page.Locator("main")).ToContainTextAsync("the model");
        await Assertions.Expect(tab.Page.Locator("summary")).ToContainTextAsync("(1)");
        await Assertions.Expect(tab.Page.GetByText("This section cannot be shown")).ToHaveCountAsync(0);
    }

    [Fact]
    public async Task A_section_that_fails_says_so_and_the_others_are_shown()
    {
        folder.Write("run/log.jsonl", string.Join('\n', Start, Step, Evaluation, Note) + "\n");
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync("about:blank");
        tab.Expected.Add("A section cannot be shown");
        await tab.Page.AddInitScriptAsync(
            "Date.prototype.toLocaleTimeString = () => { throw new Error('a defect of the notes'); };"
        );
        await tab.Page.GotoAsync(server.Urls.First() + "/runs");
        await Assertions.Expect(tab.Page.GetByText("This section cannot be shown")).ToHaveCountAsync(1);
        await Assertions.Expect(tab.Page.Locator("main")).ToContainTextAsync("eval_loss");
        await Assertions.Expect(tab.Page.Locator(".chart").First.Locator("path.curve")).ToHaveCountAsync(2);
    }

    [Fact]
    public async Task What_is_wrong_with_a_run_is_said_on_the_page_and_the_other_runs_are_listed()
    {
        folder.Write("damaged/log.jsonl", string.Join('\n', Start, Step, "{", "{") + "\n");
        folder.Write("damaged/run.json", "[]");
        folder.Write("good/log.jsonl", Start + "\n" + Step + "\n");
        await using var server = await ServerAsync();
        await using var tab = await OpenAsync(server.Urls.First() + "/runs");
        await Assertions.Expect(tab.Page.Locator(".run")).ToHaveCountAsync(2);
        await tab.Page.Locator(".run .pick", new() { HasText = "damaged" }).ClickAsync();
        await Assertions
            .Expect(tab.Page.Locator(".error-box", new() { HasText = "2 damaged lines were skipped" }))
            .ToHaveCountAsync(1);
        await Assertions
            .Expect(tab.Page.Locator(".error-box", new() { HasText = RunDescription.FileName }))
            .ToHaveCountAsync(1);
        await Assertions.Expect(tab.Page.Locator(".chart").First.Locator("path.curve")).ToHaveCountAsync(1);
    }

    public override void Dispose()
    {
        folder.Dispose();
        base.Dispose();
    }

    private async Task<WebApplication> ServerAsync()
    {
        var server = RunBoard.CreateServer([folder.Path], new ServerOptions { Port = 0 });
        await server.StartAsync();
        return server;
    }
}
