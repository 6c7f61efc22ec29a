using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.AI;
using ModelContextProtocol.Client;
using ModelContextProtocol.Protocol;

namespace GlmTune.Recipes.Chat.Tools;

/// <summary>Connections to MCP servers, and the functions that they offer.</summary>
/// <remarks>Disposing it ends the programs that it started.</remarks>
public sealed class McpServers : IAsyncDisposable
{
    private readonly List<McpClient> clients = [];
    private readonly List<AIFunction> functions = [];

    private McpServers() { }

    /// <summary>The functions of all servers. If two servers use the same name, it is prefixed by the server's:
    /// <c>server_name</c>.</summary>
    public IReadOnlyList<AIFunction> Functions => functions;

    /// <summary>Starts the servers and lists their tools, concurrently.</summary>
    /// <param name="servers">How to reach the servers.</param>
    /// <param name="stop">Cancels the start.</param>
    /// <exception cref="InvalidDataException">Servers do not start or do not answer; the message lists them
    /// all.</exception>
    public static async Task<McpServers> ConnectAsync(
        IReadOnlyList<McpServerConfig> servers,
        CancellationToken stop = default
    )
    {
        var connected = new McpServers();
        try
        {
            var attempts = await Task.WhenAll(servers.Select(server => TryConnectAsync(server, stop)))
                .ConfigureAwait(false);
            connected.clients.AddRange(attempts.Select(attempt => attempt.Client).OfType<McpClient>());
            stop.ThrowIfCancellationRequested();
            var problems = attempts.Select(attempt => attempt.Problem).OfType<string>().ToList();
            if (problems.Count > 0)
            {
                throw new InvalidDataException(string.Join(Environment.NewLine, problems));
            }

            var all = attempts
                .Zip(servers)
                .SelectMany(pair => pair.First.Tools.Select(tool => (Server: pair.Second.Name, Tool: tool)))
                .ToList();
            var shared = all.GroupBy(pair => pair.Tool.Name)
                .Where(group => group.Count() > 1)
                .Select(group => group.Key)
                .ToHashSet();
            var named = all.Select(pair =>
                    (
                        Name: shared.Contains(pair.Tool.Name) ? $"{pair.Server}_{pair.Tool.Name}" : pair.Tool.Name,
                        pair.Server,
                        pair.Tool
                    )
                )
                .ToList();
            var twice = named
                .GroupBy(pair => pair.Name)
                .Where(group => group.Count() > 1)
                .Select(group =>
                    string.Join(" and ", group.Select(pair => $"'{pair.Tool.Name}' of the server '{pair.Server}'"))
                    + $" would have the same name, '{group.Key}'; rename a server."
                )
                .ToList();
            if (twice.Count > 0)
            {
                throw new InvalidDataException(string.Join(Environment.NewLine, twice));
            }

            connected.functions.AddRange(named.Select(pair => new McpFunction(pair.Tool.WithName(pair.Name))));
            return connected;
        }
        catch
        {
            await connected.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var client in clients)
        {
            await client.DisposeAsync().ConfigureAwait(false);
        }

        clients.Clear();
        functions.Clear();
    }

    private sealed record Attempt(McpClient? Client, IReadOnlyList<McpClientTool> Tools, string? Problem);

    private static async Task<Attempt> TryConnectAsync(McpServerConfig server, CancellationToken stop)
    {
        var said = new ConcurrentQueue<string>();
        McpClient? client = null;
        try
        {
            client = await McpClient
                .CreateAsync(
                    Transport(server, said.Enqueue),
                    new McpClientOptions
                    {
                        ClientInfo = new Implementation
                        {
                            Name = "glmtune",
                            Version = typeof(McpServers).Assembly.GetName().Version?.ToString(3) ?? "0",
                        },
                        InitializationTimeout = TimeSpan.FromSeconds(30),
                    },
                    cancellationToken: stop
                )
                .ConfigureAwait(false);
            return new Attempt(
                client,
                [.. await client.ListToolsAsync(cancellationToken: stop).ConfigureAwait(false)],
                null
            );
        }
        catch (Exception e) when (!stop.IsCancellationRequested)
        {
            var last = string.Join(" | ", said.TakeLast(5));
            return new Attempt(
                client,
                [],
                $"The server '{server.Name}' ({server.Command ?? server.Url?.ToString()}) cannot be used: "
                    + $"{e.Message}{(last.Length == 0 ? "" : $" Its output: {last}")}"
            );
        }
        catch (OperationCanceledException)
        {
            return new Attempt(client, [], "");
        }
    }

    // A program gets only the variables that programs need to run and those in its configuration, so keys of other
    // services do not leak.
    private static IClientTransport Transport(McpServerConfig server, Action<string> onErrorLine)
    {
        if (server.Command is not { } command)
        {
            return new HttpClientTransport(
                new HttpClientTransportOptions
                {
                    Name = server.Name,
                    Endpoint = server.Url!,
                    AdditionalHeaders = server.Headers.ToDictionary(),
                }
            );
        }

        Dictionary<string, string?> variables = [];
        foreach (var (name, value) in StdioClientTransportOptions.GetDefaultEnvironmentVariables())
        {
            variables[name] = value;
        }

        foreach (var (name, value) in server.Environment)
        {
            variables[name] = value;
        }

        return new StdioClientTransport(
            new StdioClientTransportOptions
            {
                Name = server.Name,
                Command = command,
                Arguments = [.. server.Arguments],
                WorkingDirectory = server.WorkingFolder,
                InheritEnvironmentVariables = false,
                EnvironmentVariables = variables,
                StandardErrorLines = onErrorLine,
                ShutdownTimeout = TimeSpan.FromSeconds(2),
            }
        );
    }

    /// <summary>A server's tool that returns the text for the model and reports errors as exceptions.</summary>
    private sealed class McpFunction(McpClientTool tool) : DelegatingAIFunction(tool)
    {
        protected override async ValueTask<object?> InvokeCoreAsync(
            AIFunctionArguments arguments,
            CancellationToken cancellationToken
        )
        {
            var result = await tool.CallAsync(arguments, cancellationToken: cancellationToken).ConfigureAwait(false);
            var text = string.Join('\n', result.Content.Select(Text));
            return result.IsError == true ? throw new InvalidOperationException(text)
                : text.Length == 0 && result.StructuredContent is { ValueKind: not JsonValueKind.Undefined } structured
                    ? structured.GetRawText()
                : text;
        }

        private static string Text(ContentBlock block) =>
            block switch
            {
                TextContentBlock text => text.Text,
                EmbeddedResourceBlock { Resource: TextResourceContents resource } => resource.Text,
                _ => $"[{block.Type}]",
            };
    }
}
