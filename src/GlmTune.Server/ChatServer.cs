using GlmTune.Constraints;
using GlmTune.Server.Board;
using GlmTune.Server.Pages;

namespace GlmTune.Server;

/// <summary>Serves models over OpenAI's protocol.</summary>
internal static class ChatServer
{
    /// <summary>Creates the server; the caller starts, stops and disposes it: <c>await using var app =
    /// ChatServer.Create(…); await app.StartAsync()</c>.</summary>
    /// <remarks>When stopped, it accepts no more requests, rejects queued ones, and lets running answers finish within
    /// the configured time.</remarks>
    /// <param name="models">The models; owned by the caller, and must outlive the server.</param>
    /// <param name="options">Address, access rules and limits.</param>
    /// <param name="tools">Functions that the chat page may run on this machine, call by call; null: none.</param>
    /// <param name="adapters">Loads and unloads adapters of the first model on request; null: not allowed.</param>
    /// <param name="map">Maps further endpoints, such as pages; null: none.</param>
    /// <exception cref="InvalidDataException">The host is not an address.</exception>
    public static WebApplication Create(
        ServedModels models,
        ServerOptions options,
        ServerTools? tools = null,
        Action<WebApplication>? map = null,
        IAdapterLoader? adapters = null
    )
    {
        var queue = new RequestQueue(models.Slots, options.Limits, options.Time);
        var app = ServerApp.Create(
            options,
            services =>
            {
                services
                    .AddSingleton(models)
                    .AddSingleton(queue)
                    .AddSingleton<MetricReadings>()
                    .AddSingleton<ServerMetrics>()
                    .AddSingleton<StopTime>()
                    .AddSingleton<Admission>()
                    .AddSingleton<GrammarCache>();
                services.AddSingleton<ChatEndpoint>().AddSingleton<CompletionEndpoint>();
                if (adapters is not null)
                {
                    services.AddSingleton(adapters).AddSingleton<AdapterEndpoint>();
                }

                // A lambda, because the generator of API descriptions requires one.
                services.AddOpenApi(openApi => ServerDocument.Describe(openApi));
            },
            app =>
            {
                app.MapHealth();
                app.MapModels();
                ChatEndpoint.Map(app);
                CompletionEndpoint.Map(app);
                if (adapters is not null)
                {
                    AdapterEndpoint.Map(app);
                }

                app.MapMetrics();
                app.MapOpenApi("/openapi/{documentName}.json").AllowWithoutKey();

                app.MapPageFiles();
                app.MapPage("/", "chat.html");
                new RunBoard(options.RunFolders, hasChat: true).Map(app);
                (tools ?? ServerTools.None).Map(app);
                map?.Invoke(app);
            }
        );
        app.Lifetime.ApplicationStopping.Register(queue.Close);
        _ = app.Services.GetRequiredService<StopTime>(); // From now on it reacts to a stop.
        app.Lifetime.ApplicationStarted.Register(() =>
            _ = Task.Run(() => AnswerGrammar.Prepare(models.All[0].Chat.Template.Tokenizer))
        );
        return app;
    }
}
