using GlmTune.Hub.Caches;
using GlmTune.Server;
using GlmTune.Server.Board;
using GlmTune.Server.Pages;
using GlmTune.Studio.Chat;
using GlmTune.Studio.Choices;
using GlmTune.Studio.Jobs;
using GlmTune.Studio.Setup;

namespace GlmTune.Studio;

/// <summary>Training in the browser: the studio's page, the training page, and the chat page.</summary>
internal static class StudioServer
{
    /// <summary>Creates the server; the caller starts, stops and disposes it. Jobs go on without it.</summary>
    /// <param name="options">What it works with.</param>
    /// <param name="caches">Returns the caches of downloaded models; null: the usual ones.</param>
    /// <exception cref="InvalidDataException">The host is not an address, or no key is required.</exception>
    public static WebApplication Create(StudioOptions options, Func<ModelCaches>? caches = null)
    {
        if (options.Server.ApiKeys.Count == 0)
        {
            throw new InvalidDataException("The studio starts programs on this machine, so it requires a key.");
        }

        var paths = new StudioPaths(options);
        var models = new ModelChoices(paths, caches ?? (() => ModelCaches.FromEnvironment()));
        var desk = new RecipeDesk(paths);
        desk.Prepare();
        var jobs = new JobList(Path.Combine(options.OwnFolder, "jobs"), options.Program);
        var chat = new ChatHost(options, new JobList(options.OwnFolder, options.Program));
        return ServerApp.Create(
            options.Server,
            services => services.AddHttpForwarder(),
            app =>
            {
                app.MapHealth();
                app.MapPageFiles();
                app.MapPage("/", "studio.html");
                app.MapPage("/chat", "chat.html");
                var board = new RunBoard([options.Output], hasChat: true) { IsInStudio = true };
                board.Map(app);
                new SetupEndpoints(paths, models, desk).Map(app);
                new JobEndpoints(paths, models, desk, jobs).Map(app);
                new ChatEndpoints(paths, models, board, chat).Map(app);
                var proxy = new ChatProxy(chat);
                app.Lifetime.ApplicationStopped.Register(proxy.Dispose);
                proxy.Map(app);
            }
        );
    }
}
