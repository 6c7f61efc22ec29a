using GlmTune.Files;
using GlmTune.Recipes.Chat;
using GlmTune.Server;

namespace GlmTune.Cli;

/// <summary>Loads adapters for a served model.</summary>
/// <param name="root">Folder below which they may be loaded.</param>
/// <param name="chat">The model.</param>
internal sealed class ServedAdapterLoader(string root, TunedChat chat) : IAdapterLoader, IDisposable
{
    private readonly AdapterLoader loader = new(chat.Model, chat.Chat.Scheduler.Generator);

    /// <inheritdoc/>
    public string Root { get; } = RealPath.Of(root);

    /// <inheritdoc/>
    public void Load(string name, string folder) => loader.Load(name, folder);

    /// <inheritdoc/>
    public void Unload(string name) => loader.Unload(name);

    /// <inheritdoc/>
    public void Dispose() => loader.Dispose();
}
