using GlmTune.Inference;
using GlmTune.Recipes.Chat.Tools;
using Microsoft.Extensions.AI;

namespace GlmTune.Recipes.Tools;

/// <summary>Over a real server: a program that is started and spoken with over its standard input and output.</summary>
public class McpServersTests
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "GlmTune.Recipes.McpProgram.dll");

    [Fact]
    public async Task A_servers_tools_can_be_called_and_their_errors_are_exceptions()
    {
        await using var servers = await McpServers.ConnectAsync([
            Server("tools") with
            {
                Environment = new Dictionary<string, string> { ["GIVEN"] = "yes" },
            },
        ]);
        Assert.Equal(["add", "print", "variable", "wait"], servers.Functions.Select(function => function.Name).Order());
        Assert.Equal("The sum of two whole numbers", Named(servers, "add").Description);
        Assert.Equal(
            "integer",
            Named(servers, "add").JsonSchema.GetProperty("properties").GetProperty("a").GetProperty("type").GetString()
        );
        Assert.Equal("5", await Named(servers, "add").InvokeAsync(new AIFunctionArguments { ["a"] = 2, ["b"] = 3 }));
        Assert.Equal(
            "yes",
            await Named(servers, "variable").InvokeAsync(new AIFunctionArguments { ["name"] = "GIVEN" })
        );
        Assert.Contains(
            "out of paper",
            (
                await Assert.ThrowsAsync<InvalidOperationException>(() =>
                    Named(servers, "print").InvokeAsync().AsTask()
                )
            ).Message,
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task A_started_program_does_not_get_this_ones_variables()
    {
        const string name = "GLMTUNE_TEST_SECRET";
        Environment.SetEnvironmentVariable(name, "secret");
        await using var servers = await McpServers.ConnectAsync([Server("tools")]);
        Assert.Equal(
            "unset",
            await Named(servers, "variable").InvokeAsync(new AIFunctionArguments { ["name"] = name })
        );
        Assert.NotEqual(
            "unset",
            await Named(servers, "variable").InvokeAsync(new AIFunctionArguments { ["name"] = "PATH" })
        );
    }

    [Fact]
    public async Task Names_that_two_servers_share_carry_the_servers_name()
    {
        await using var servers = await McpServers.ConnectAsync([Server("one"), Server("two")]);
        Assert.Equal(
            "3",
            await Named(servers, "two_add").InvokeAsync(new AIFunctionArguments { ["a"] = 1, ["b"] = 2 })
        );
        Assert.Equal(8, servers.Functions.Select(function => function.Name).Distinct().Count());
    }

    [Fact]
    public async Task Names_that_the_servers_name_makes_equal_are_refused()
    {
        // 'a' and 'b' both have 'add', and a third server has a tool that is called as the first one would be.
        var error = await Assert.ThrowsAsync<InvalidDataException>(() =>
            McpServers.ConnectAsync([Server("a"), Server("b"), Server("c", "a_add")])
        );
        Assert.Equal(
            "'add' of the server 'a' and 'a_add' of the server 'c' would have the same name, 'a_add'; "
                + "rename a server.",
            error.Message
        );
    }

    [Fact]
    public async Task Servers_that_do_not_start_are_named_with_what_they_said()
    {
        var error = await Assert.ThrowsAsync<InvalidDataException>(() =>
            McpServers.ConnectAsync([
                Server("fails", "fail"),
                new McpServerConfig("none") { Command = "no-such-program-here" },
            ])
        );
        Assert.Contains("'fails'", error.Message, StringComparison.Ordinal);
        Assert.Contains("no license", error.Message, StringComparison.Ordinal);
        Assert.Contains("'none' (no-such-program-here)", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_loop_runs_them_and_gives_up_waiting()
    {
        await using var servers = await McpServers.ConnectAsync([Server("tools")]);
        var (results, asked) = (new List<string>(), 0);
        // A call that must be answered has time for it on a machine that is busy; one that never is has little.
        foreach (var (timeout, names) in ((double, string[])[])[(60, ["add", "print"]), (0.3, ["wait"])])
        {
            using var loop = new ToolLoop(
                new Calling(names),
                new ToolLoopOptions
                {
                    CallTimeout = TimeSpan.FromSeconds(timeout),
                    Confirm = (use, _) => Task.FromResult(use.Name != "print" || ++asked < 0),
                    OnResult = (_, result) => results.Add(result),
                }
            );
            Assert.Equal(
                "Done.",
                (
                    await loop.GetResponseAsync(
                        [new(ChatRole.User, "Go")],
                        new ChatOptions { Tools = [.. servers.Functions] }
                    )
                ).Text
            );
        }

        Assert.Equal(["5", "Error: the user did not allow this call.", "Error: no result within 0.3 s."], results);
    }

    private static AIFunction Named(McpServers servers, string name) =>
        servers.Functions.Single(function => function.Name == name);

    private static McpServerConfig Server(string name, params string[] arguments) =>
        new(name)
        {
            Command = Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal)
                ? Environment.ProcessPath
                : "dotnet",
            Arguments = ["exec", Program, .. arguments],
        };

    /// <summary>Calls one function after another, then says that it is done.</summary>
    private sealed class Calling(params string[] names) : IChatClient
    {
        private int next;

        public Task<ChatResponse> GetResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        )
        {
            AIContent content =
                next == names.Length
                    ? new TextContent("Done.")
                    : new FunctionCallContent(
                        $"{next}",
                        names[next],
                        new Dictionary<string, object?> { ["a"] = 2, ["b"] = 3 }
                    );
            next++;
            return Task.FromResult(new ChatResponse(new ChatMessage(ChatRole.Assistant, [content])));
        }

        public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(
            IEnumerable<ChatMessage> messages,
            ChatOptions? options = null,
            CancellationToken cancellationToken = default
        ) => throw new NotSupportedException();

        public object? GetService(Type serviceType, object? serviceKey = null) => null;

        public void Dispose() { }
    }
}
