using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace GlmTune.Cli.Commands;

public sealed partial class ServeCommandTests
{
    [Fact]
    public async Task It_answers_until_it_is_stopped_and_ends_well()
    {
        var keys = Path.GetTempFileName();
        await File.WriteAllTextAsync(
            keys,
            "# The clients' keys.\na-key-of-the-test\nanother-key\n",
            TestContext.Current.CancellationToken
        );
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var error = new StringWriter();
        var serving = CommandLine.RunAsync(
            [
                "serve",
                Run.InRepository("models/glm-nano"),
                "--port",
                "0",
                "--api-key-file",
                keys,
                "--name",
                "small",
                "--device",
                "cpu",
            ],
            new Screen(TextReader.Null, TextWriter.Null, TextWriter.Synchronized(error)),
            stop: stop.Token
        );
        while (!Address().IsMatch(error.ToString()))
        {
            Assert.False(serving.IsCompleted, error.ToString());
            await Task.Delay(20, stop.Token);
        }

        using var http = new HttpClient { BaseAddress = new Uri(Address().Match(error.ToString()).Value) };
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/v1/models", stop.Token)).StatusCode);
        http.DefaultRequestHeaders.Authorization = new("Bearer", "a-key-of-the-test");
        Assert.Equal(
            "small",
            JsonNode.Parse(await http.GetStringAsync("/v1/models", stop.Token))!["data"]![0]!["id"]!.GetValue<string>()
        );
        using var answer = await http.PostAsync(
            "/v1/chat/completions",
            new StringContent(
                """{"max_tokens":3,"messages":[{"role":"user","content":"Hi"}]}""",
                Encoding.UTF8,
                "application/json"
            ),
            stop.Token
        );
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        // The other side reads the same file.
        var stress = await Run.Of(
            "stress",
            "--url",
            http.BaseAddress.ToString(),
            "--api-key-file",
            keys,
            "--token-len",
            "8",
            "--n",
            "1",
            "--max-new-tokens",
            "2"
        );
        Assert.Equal((ExitCode.Done, ""), (stress.Code, stress.Error));
        await stop.CancelAsync();
        Assert.Equal(ExitCode.Done, await serving);
        File.Delete(keys);
    }

    [Theory]
    [InlineData("glm-4-late-2024", true)]
    [InlineData("glm-4", false)]
    public async Task A_chat_format_that_reads_special_tokens_out_of_messages_is_warned_about(
        string template,
        bool warned
    )
    {
        var run = await Run.Of([
            "serve",
            Run.InRepository("models/glm-nano"),
            "--device",
            "cpu",
            "--template",
            template,
            "--host",
            "nowhere.example",
            "--port",
            "0",
        ]);
        Assert.Equal(
            (ExitCode.Users, warned),
            (
                run.Code,
                run.Error.Contains(
                    $"The chat format {template} turns special-token text in messages into special tokens",
                    StringComparison.Ordinal
                )
            )
        );
    }

    [Theory]
    [InlineData("--port 70000", "--port: '70000' is not a whole number from 0 to 65535.")]
    [InlineData("--slots 0", "--slots: '0' is not a whole number from 1 to 1000000.")]
    [InlineData("--gpu-memory 1.5", "--gpu-memory: '1.5' is not a number from 0.05 to 1.")]
    [InlineData("--max-model-len 999999", "--max-model-len is 999999, but this model supports at most")]
    [InlineData("--adapter nothing", "--adapter: 'nothing' does not have the form NAME=PATH.")]
    [InlineData("--host nowhere.example --port 0", "'nowhere.example' is not an address to listen on")]
    [InlineData("--host 192.0.2.1 --port 8000", "Cannot listen on 192.0.2.1, port 8000")]
    [InlineData("--api-key-file /dev/null", "contains no key")]
    [InlineData("--mcp tools.json --host 0.0.0.0", "require --api-key-file")]
    [InlineData("--mcp tools.json --cors *", "require --api-key-file")]
    [InlineData("--adapter-root /dev/null", "--adapter-root: there is no folder '/dev/null'.")]
    [InlineData("--adapter-root / --host 0.0.0.0", "require --api-key-file")]
    [InlineData("--adapter-root / --cors *", "require --api-key-file")]
    [InlineData("--max-loras 0", "--max-loras: '0' is not a whole number from 1 to 10000.")]
    [InlineData("--allow read_file", "--allow requires --mcp.")]
    [InlineData("--adapter glm-nano=x", "Two models would have the name 'glm-nano'")]
    public async Task Wrong_options_are_told(string options, string message)
    {
        var run = await Run.Of([
            "serve",
            Run.InRepository("models/glm-nano"),
            "--device",
            "cpu",
            .. options.Split(' '),
        ]);
        Assert.Equal(ExitCode.Users, run.Code);
        Assert.Contains(message, run.Error);
    }

    [GeneratedRegex(@"http://127\.0\.0\.1:\d+")]
    private static partial Regex Address();
}
