using System.Diagnostics;
using System.Text.Json.Nodes;
using GlmTune.Inference.Tests;

namespace GlmTune.Server.Tests;

/// <summary>The official OpenAI library for JavaScript against the server, where Node and the library are
/// present.</summary>
public sealed class NodeClientTests
{
    [Fact]
    public async Task It_chats_streams_calls_tools_and_reads_structured_answers()
    {
        // A folder in which "npm install openai" was run.
        var folder = Environment.GetEnvironmentVariable("GLMTUNE_NODE_OPENAI");
        Assert.SkipWhen(
            string.IsNullOrEmpty(folder) || !Directory.Exists(Path.Combine(folder, "node_modules", "openai")),
            "GLMTUNE_NODE_OPENAI names no folder with npm's package openai."
        );
        await using var server = await RunningServer.StartAsync(
            ScriptedChat.Answering(prompt =>
                prompt.Contains("<|observation|>\nsun", StringComparison.Ordinal) ? "\nSunny."
                : prompt.Contains("Weather?", StringComparison.Ordinal) ? "get_weather\n{\"city\": \"Rome\"}"
                : prompt.Contains("JSON?", StringComparison.Ordinal) ? "\n{\"a\": 5}"
                : "\nHello from GLM."
            )
        );
        var start = new ProcessStartInfo(
            "node",
            [Path.Combine(AppContext.BaseDirectory, "Node", "client.mjs"), server.Address.ToString(), folder]
        )
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var node = Process.Start(start)!;
        var error = node.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await node.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await node.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(node.ExitCode == 0, await error);
        Assert.True(
            JsonNode.DeepEquals(
                JsonNode.Parse(
                    """
                    {"models":["scripted"],"whole":["Hello from GLM.","stop",true],"streamed":["Hello from GLM.","stop",17,true],
                     "call":["tool_calls","function","get_weather","{\"city\": \"Rome\"}"],"answered":"Sunny.","structured":{"a":5},"completion":"\nHel",
                     "error":["NotFoundError",404,"model_not_found","model"]}
                    """
                ),
                JsonNode.Parse(output)
            ),
            output
        );
    }
}
