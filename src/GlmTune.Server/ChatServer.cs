namespace GlmTune.Server;

/// <summary>Serves models under OpenAI's protocol.</summary>
public static class ChatServer
{
    /// <summary>Builds the server; the caller starts, stops and disposes it: <c>await using var app = ChatServer.Create(…); await app.StartAsync()</c>.</summary>
    /// <param name="models">What answers; stay the caller's, and live longer than the server.</param>
    /// <param name="options">Where it listens, whom it lets in, how much it takes.</param>
    /// <exception cref="InvalidDataException">The host is no address.</exception>
    public static WebApplication Create(ServedModels models, ServerOptions options) => ServerApp.Create(
        options,
        services => services.AddSingleton(models).AddSingleton<ChatEndpoint>(),
        app =>
        {
            app.MapHealth();
            app.MapModels();
            ChatEndpoint.Map(app);

            // Pages: a folder each, with a Map… method that is called here.
        });
}
