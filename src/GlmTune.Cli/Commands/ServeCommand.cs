using System.CommandLine;
using System.Net.Sockets;
using GlmTune.Inference;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat.Tools;
using GlmTune.Server;
using Microsoft.AspNetCore.Builder;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune serve</c>: answer over HTTP, as OpenAI's service does.</summary>
internal static class ServeCommand
{
    private const int Most = 1_000_000;

    public static Command Create(Screen screen)
    {
        var chat = new ChatOptions();
        var defaults = new ServerOptions();
        var listen = new ListenOptions(defaults);
        var cors = new Option<string[]>("--cors")
        {
            HelpName = "ORIGIN",
            Description = "let pages of this origin call the server from a browser; may be repeated",
            DefaultValueFactory = _ => [],
        };
        var name = new Option<string?>("--name")
        {
            HelpName = "NAME",
            Description = "what requests call the model; the name of PATH's folder",
        };
        var adapters = Adapters();
        var allowed = new Option<string[]>("--allow-host")
        {
            HelpName = "NAME",
            Description =
                "answer to this Host header too while listening on loopback, behind a proxy for example; may be "
                + "repeated",
            DefaultValueFactory = _ => [],
        };
        var slots = NumberOption.Of("--slots", "answers made side by side", new GenerationLimits().Slots, 1, Most);
        var waiting = NumberOption.Of(
            "--waiting",
            "requests that may wait for a place; more are turned away with 429",
            defaults.Limits.Waiting,
            0,
            Most
        );
        var timeout = NumberOption.Of(
            "--timeout",
            "seconds that a request may take, waiting included",
            (int)defaults.Limits.RequestTime.TotalSeconds,
            1,
            Most
        );
        var stopTime = NumberOption.Of(
            "--stop-time",
            "seconds that running answers may go on after Ctrl-C",
            (int)defaults.StopTime.TotalSeconds,
            0,
            Most
        );
        var runs = new Option<string[]>("--runs")
        {
            HelpName = "DIR",
            Description = "show the training runs of this folder at /runs; may be repeated",
            DefaultValueFactory = _ => [],
        };
        var mcp = new Option<string?>("--mcp")
        {
            HelpName = "FILE",
            Description =
                "servers of the Model Context Protocol (an 'mcpServers' file) whose tools the chat page may run, each "
                + "call confirmed there",
        };
        var unasked = new Option<string[]>("--allow")
        {
            HelpName = "NAME",
            Description = "let the page run this tool of --mcp without a question; may be repeated",
            DefaultValueFactory = _ => [],
        };
        unasked.Validators.Add(result =>
        {
            if (!result.Implicit && result.GetResult(mcp) is null or { Implicit: true })
            {
                result.AddError("--allow needs --mcp.");
            }
        });
        var command = new Command("serve", "Answer over HTTP under OpenAI's protocol, until Ctrl-C.")
        {
            adapters,
            cors,
            allowed,
            name,
            slots,
            waiting,
            timeout,
            stopTime,
            runs,
            mcp,
            unasked,
        };
        listen.AddTo(command);
        chat.AddTo(command);
        command.SetAction(
            async (given, stop) =>
            {
                var options = listen.Read(given) with
                {
                    CorsOrigins = given.GetRequiredValue(cors),
                    AllowedHosts = given.GetRequiredValue(allowed),
                    Limits = defaults.Limits with
                    {
                        Waiting = given.GetRequiredValue(waiting),
                        RequestTime = TimeSpan.FromSeconds(given.GetRequiredValue(timeout)),
                    },
                    StopTime = TimeSpan.FromSeconds(given.GetRequiredValue(stopTime)),
                    RunFolders = given.GetRequiredValue(runs),
                };
                if (
                    given.GetValue(mcp) is not null
                    && options.ApiKeys.Count == 0
                    && (!ServerApp.IsLoopback(options.Host) || options.CorsOrigins.Count > 0)
                )
                {
                    throw new InvalidDataException(
                        "With --mcp, whoever reaches the server can run its tools on this machine; --host beyond it "
                            + "and --cors need --api-key-file then."
                    );
                }

                var served = given.GetRequiredValue(adapters);
                var id = given.GetValue(name) ?? NameOf(given.GetRequiredValue(chat.Path));
                if (
                    served
                        .Select(adapter => adapter.Key)
                        .Append(id)
                        .GroupBy(each => each)
                        .FirstOrDefault(group => group.Count() > 1) is
                    { } twice
                )
                {
                    throw new InvalidDataException(
                        $"'{twice.Key}' would be the name of two models; give other names with --adapter NAME=PATH or "
                            + "--name."
                    );
                }

                await using var connected = given.GetValue(mcp) is { } servers
                    ? await McpServers.ConnectAsync(McpConfig.Read(servers), stop).ConfigureAwait(false)
                    : null;
                var tools = new ServerTools(connected?.Functions ?? [], given.GetRequiredValue(unasked));
                using var loaded = chat.Load(
                    given,
                    served,
                    new GenerationLimits { Slots = given.GetRequiredValue(slots) }
                );
                if (loaded.Chat.Template.Options.Preset is { ParsesSpecialText: true } preset)
                {
                    screen.Error.WriteLine(
                        $"The chat format {preset.Name} reads special tokens out of messages: a text such as "
                            + "<|assistant|> in one can pass for a turn of its own. Serve it to people you trust."
                    );
                }

                var models = new ServedModels([
                    new ServedModel(id, loaded.Chat),
                    .. served.Select(adapter => new ServedModel(adapter.Key, loaded.Chat)
                    {
                        Adapter = adapter.Key,
                        Parent = id,
                    }),
                ]);
                await RunAsync(screen, ChatServer.Create(models, options, tools), options, stop).ConfigureAwait(false);
            }
        );
        return command;
    }

    /// <summary>Starts a server, says where it listens, and stops it when asked to.</summary>
    internal static async Task RunAsync(
        Screen screen,
        WebApplication app,
        ServerOptions options,
        CancellationToken stop
    )
    {
        await using (app.ConfigureAwait(false))
        {
            try
            {
                await app.StartAsync(stop).ConfigureAwait(false);
            }
            catch (SocketException e)
            {
                throw new InvalidDataException(
                    $"Cannot listen on {options.Host}, port {options.Port}: {e.Message}.",
                    e
                );
            }

            screen.Error.WriteLine($"Listening on {string.Join(", ", app.Urls)}; Ctrl-C stops.");
            if (!ServerApp.IsLoopback(options.Host) && options.ApiKeys.Count == 0)
            {
                screen.Error.WriteLine(
                    "Everybody who reaches this address can use what it shows; --api-key-file asks for keys."
                );
            }

            await Task.Delay(Timeout.Infinite, stop)
                .ContinueWith(_ => { }, TaskScheduler.Default)
                .ConfigureAwait(false);
            screen.Error.WriteLine("Stopping: running answers are finished.");
            await app.StopAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static Option<KeyValuePair<string, string>[]> Adapters() =>
        new("--adapter")
        {
            HelpName = "NAME=PATH",
            Description = "an adapter's folder, served beside PATH under a name of its own; may be repeated",
            DefaultValueFactory = _ => [],
            CustomParser = result =>
                [
                    .. result.Tokens.Select(token =>
                    {
                        var split = token.Value.IndexOf('=', StringComparison.Ordinal);
                        if (split < 1 || split == token.Value.Length - 1)
                        {
                            result.AddError($"--adapter: '{token.Value}' is not NAME=PATH.");
                            return default;
                        }

                        return new KeyValuePair<string, string>(token.Value[..split], token.Value[(split + 1)..]);
                    }),
                ],
        };

    private static string NameOf(string path) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
}
