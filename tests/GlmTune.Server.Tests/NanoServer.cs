using GlmTune.Inference;
using GlmTune.Recipes;
using GlmTune.Recipes.Chat;
using GlmTune.Server;
using Microsoft.AspNetCore.Builder;

[assembly: AssemblyFixture(typeof(GlmTune.Server.Tests.NanoServer))]

namespace GlmTune.Server.Tests;

/// <summary>The repository's small model in float32 on the CPU, served on a free port of this machine.</summary>
public sealed class NanoServer : IAsyncLifetime
{
    private readonly Lazy<TunedChat> loaded = new(() =>
        TunedChat.Load(
            Path.GetFullPath(GoldenData.Path("../../models/glm-nano")),
            new TunedChatOptions
            {
                Device = "cpu",
                Type = "float32",
                Limits = new GenerationLimits { Slots = Slots },
            }
        )
    );

    private WebApplication? app;

    /// <summary>Answers side by side.</summary>
    public const int Slots = 8;

    public ChatModel Chat => loaded.Value.Chat;

    public Uri Address { get; private set; } = null!;

    public HttpClient Http { get; private set; } = null!;

    internal RequestQueue Queue =>
        app!.Services.GetService(typeof(RequestQueue)) as RequestQueue ?? throw new InvalidOperationException();

    public async ValueTask InitializeAsync()
    {
        app = ChatServer.Create(new ServedModels(new ServedModel("glm-nano", Chat)), new ServerOptions { Port = 0 });
        await app.StartAsync();
        Address = new Uri(app.Urls.Single());
        Http = new HttpClient { BaseAddress = Address };
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await app!.StopAsync();
        await app.DisposeAsync();
        loaded.Value.Dispose();
    }
}
