using System.CommandLine;
using System.Net.Sockets;
using GlmTune.Files;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Chat.Tools;
using GlmTune.Server;
using Microsoft.AspNetCore.Builder;
using OpenTelemetry.Metrics;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune serve</c>: an OpenAI-compatible HTTP server.</summary>
internal static class ServeCommand
{
    private const int Max = 1_000_000;

    public static Command Create(Screen screen)
    {
        var chat = new ChatOptions();
        var defaults = new ServerOptions();
        var listen = new ListenOptions(defaults);
        var cors = new Option<string[]>("--cors")
        {
            HelpName = "ORIGIN",
            Description = "allow browser pages of this origin to call the server; repeatable",
            DefaultValueFactory = _ => [],
        };
        var name = new Option<string?>("--name")
        {
            HelpName = "NAME",
            Description = "model name in requests; default: the name of PATH's folder",
        };
        var adapters = new AdapterOptions();
        var allowed = new Option<string[]>("--allow-host")
        {
            HelpName = "NAME",
            Description =
                "also accept this Host header while listening on loopback, for example behind a proxy; " + "repeatable",
            DefaultValueFactory = _ => [],
        };
        var slots = NumberOption.Optional<int>(
            "--slots",
            "max answers generated concurrently; default: as many as the GPU's memory holds, at most 256; 16 on a CPU",
            1,
            Max
        );
        var gpuMemory = NumberOption.Of(
            "--gpu-memory",
            "share of each GPU's memory that the server may use",
            new ServingLimits().GpuMemory,
            0.05,
            1
        );
        var modelLength = NumberOption.Optional<int>(
            "--max-model-len",
            "max tokens of prompt and answer together; default: what the model supports",
            2,
            int.MaxValue
        );
        var batchTokens = NumberOption.Optional<int>(
            "--max-batch-tokens",
            "max tokens that a step processes; longer prompts are split; default: 1024; 256 on a CPU",
            1,
            Max
        );
        var waiting = NumberOption.Of(
            "--waiting",
            "max queued requests; further requests get 429",
            defaults.Limits.Waiting,
            0,
            Max
        );
        var waitingEach = NumberOption.Of(
            "--waiting-per-client",
            "max queued requests of one client; further requests get 429",
            defaults.Limits.WaitingOfOneClient,
            0,
            Max
        );
        var timeout = NumberOption.Of(
            "--timeout",
            "seconds per request, including time in the queue",
            (int)defaults.Limits.RequestTime.TotalSeconds,
            1,
            Max
        );
        var stopTime = NumberOption.Of(
            "--stop-time",
            "seconds for running answers to finish after Ctrl-C",
            (int)defaults.StopTime.TotalSeconds,
            0,
            Max
        );
        var runs = new Option<string[]>("--runs")
        {
            HelpName = "DIR",
            Description = "show the training runs of this folder at /runs; repeatable",
            DefaultValueFactory = _ => [],
        };
        var addressFile = new Option<string?>("--address-file")
        {
            HelpName = "FILE",
            Description = "write the address to this file once requests are accepted; for programs, with --port 0",
        };
        var mcp = new Option<string?>("--mcp")
        {
            HelpName = "FILE",
            Description = "MCP servers (an 'mcpServers' file) whose tools the chat page may run after confirmation",
        };
        var unasked = new Option<string[]>("--allow")
        {
            HelpName = "NAME",
            Description = "let the page run this tool of --mcp without confirmation; repeatable",
            DefaultValueFactory = _ => [],
        };
        unasked.Validators.Add(result =>
        {
            if (!result.Implicit && result.GetResult(mcp) is null or { Implicit: true })
            {
                result.AddError("--allow requires --mcp.");
            }
        });
        var command = new Command("serve", "Serve a model over HTTP with an OpenAI-compatible API. Ctrl-C stops.")
        {
            cors,
            allowed,
            name,
            slots,
            gpuMemory,
            modelLength,
            batchTokens,
            waiting,
            waitingEach,
            timeout,
            stopTime,
            runs,
            addressFile,
            mcp,
            unasked,
        };
        var otlp = new OtlpOption();
        otlp.AddTo(command);
        adapters.AddTo(command);
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
                        WaitingOfOneClient = given.GetRequiredValue(waitingEach),
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
                        "With --mcp, anyone who can reach the server can run its tools on this machine. So "
                            + "--cors, and any --host other than this machine, require --api-key-file."
                    );
                }

                using var sending = otlp.Start(given, screen, ServerMetrics.MeterName, "System.Runtime");
                var id = given.GetValue(name) ?? NameOf(given.GetRequiredValue(chat.Path));
                var served = adapters.Read(given, id);
                adapters.CheckAccess(given, options);

                await using var connected = given.GetValue(mcp) is { } servers
                    ? await McpServers.ConnectAsync(McpConfig.Read(servers), stop).ConfigureAwait(false)
                    : null;
                var tools = new ServerTools(connected?.Functions ?? [], given.GetRequiredValue(unasked));
                using var loaded = chat.Load(
                    given,
                    screen,
                    served,
                    serving: new ServingLimits
                    {
                        Slots = given.GetValue(slots),
                        GpuMemory = given.GetRequiredValue(gpuMemory),
                        MaxModelLength = given.GetValue(modelLength),
                        BatchTokens = given.GetValue(batchTokens),
                        MaxAdapters = adapters.Max(given),
                        TakesAdapters = adapters.Root(given) is not null,
                    }
                );
                if (loaded.Chat.Template.Options.Preset is { ParsesSpecialText: true } preset)
                {
                    screen.Error.WriteLine(
                        $"The chat format {preset.Name} turns special-token text in messages into special "
                            + "tokens: text such as <|assistant|> can imitate another turn. Serve this model "
                            + "only to people you trust."
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
                using var loader = adapters.Root(given) is { } root ? new ServedAdapterLoader(root, loaded) : null;
                var names = string.Join(", ", models.All.Select(model => model.Id));
                var (device, type) = (loaded.Model.Model.Device, loaded.Model.Model.Type);
                var app = ChatServer.Create(models, options, tools);
                // What the server says of itself can be read only until it is disposed.
                app.Lifetime.ApplicationStopped.Register(() => sending?.ForceFlush(OtlpOption.FlushMilliseconds));
                await RunAsync(
                        screen,
                        app,
                        options,
                        url =>
                            $"Serving {names} on {ComputeDevice.Describe(device, type)}. Chat page: "
                            + $"{url}/  training runs: {url}/runs  API: {url}/v1",
                        stop,
                        given.GetValue(addressFile)
                    )
                    .ConfigureAwait(false);
            }
        );
        return command;
    }

    /// <summary>Starts a server, prints its address, and stops it on request.</summary>
    internal static async Task RunAsync(
        Screen screen,
        WebApplication app,
        ServerOptions options,
        Func<string, string> about,
        CancellationToken stop,
        string? addressFile = null
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

            if (addressFile is not null)
            {
                AtomicFile.WriteText(addressFile, app.Urls.First() + "\n");
            }

            screen.Error.WriteLine($"Listening on {string.Join(", ", app.Urls)}; press Ctrl-C to stop.");
            screen.Error.WriteLine(about(app.Urls.First().TrimEnd('/')));
            if (!ServerApp.IsLoopback(options.Host) && options.ApiKeys.Count == 0)
            {
                screen.Error.WriteLine(
                    "Anyone who can reach this address can use the server; set --api-key-file to require keys."
                );
            }

            await Task.Delay(Timeout.Infinite, stop)
                .ContinueWith(_ => { }, TaskScheduler.Default)
                .ConfigureAwait(false);
            screen.Error.WriteLine("Shutting down: waiting for running answers to finish.");
            await app.StopAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static string NameOf(string path) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
}
