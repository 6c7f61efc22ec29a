using GlmTune.Constraints;
using GlmTune.Server.Board;
using GlmTune.Server.Pages;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace GlmTune.Server;

/// <summary>Serves models under OpenAI's protocol.</summary>
public static class ChatServer
{
    /// <summary>Builds the server; the caller starts, stops and disposes it: <c>await using var app =
    /// ChatServer.Create(…); await app.StartAsync()</c>.</summary>
    /// <remarks>Told to stop, it takes no more requests, turns those away that wait, and lets running answers finish
    /// within the time that it was given.</remarks>
    /// <param name="models">What answers; stay the caller's, and live longer than the server.</param>
    /// <param name="options">Where it listens, whom it lets in, how much it takes.</param>
    /// <param name="tools">What the chat page may run here, call by call; null for nothing.</param>
    /// <param name="map">Maps more, such as pages; null for nothing.</param>
    /// <exception cref="InvalidDataException">The host is not an address.</exception>
    public static WebApplication Create(
        ServedModels models,
        ServerOptions options,
        ServerTools? tools = null,
        Action<WebApplication>? map = null
    )
    {
        var queue = new RequestQueue(models.Places, options.Limits, options.Time);
        var app = ServerApp.Create(
            options,
            services =>
            {
                services
                    .AddSingleton(models)
                    .AddSingleton(queue)
                    .AddSingleton<ServerMetrics>()
                    .AddSingleton<StopTime>()
                    .AddSingleton<Admission>()
                    .AddSingleton<GrammarCache>();
                services.AddSingleton<ChatEndpoint>().AddSingleton<CompletionEndpoint>();
                services
                    .AddOpenTelemetry()
                    .ConfigureResource(resource => resource.AddService("glmtune"))
                    .WithMetrics(metrics =>
                        metrics.AddMeter(ServerMetrics.MeterName, "System.Runtime").AddPrometheusExporter()
                    );
                // A lambda: the generator of descriptions looks for one.
                services.AddOpenApi(openApi => ServerDocument.Describe(openApi));
            },
            app =>
            {
                app.MapHealth();
                app.MapModels();
                ChatEndpoint.Map(app);
                CompletionEndpoint.Map(app);
                app.MapPrometheusScrapingEndpoint("/metrics");
                app.MapOpenApi("/openapi/{documentName}.json").AllowWithoutKey();

                app.MapPageFiles();
                app.MapPage("/", "chat.html");
                new RunBoard(options.RunFolders, hasChat: true).Map(app);
                (tools ?? ServerTools.None).Map(app);
                map?.Invoke(app);
            }
        );
        app.Lifetime.ApplicationStopping.Register(queue.Close);
        _ = app.Services.GetRequiredService<StopTime>(); // It waits for the word from now on.
        app.Lifetime.ApplicationStarted.Register(() =>
            _ = Task.Run(() => AnswerGrammar.Prepare(models.All[0].Chat.Template.Tokenizer))
        );
        return app;
    }
}
