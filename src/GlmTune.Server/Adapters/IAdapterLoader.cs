namespace GlmTune.Server;

/// <summary>Loads and unloads the adapters of a served model while it answers. Calls do not overlap.</summary>
internal interface IAdapterLoader
{
    /// <summary>Folder below which adapters may be loaded, without links in its path.</summary>
    string Root { get; }

    /// <summary>Loads an adapter; the model answers meanwhile.</summary>
    /// <param name="name">Its name in requests.</param>
    /// <param name="folder">Its folder.</param>
    /// <exception cref="InvalidDataException">It is damaged, or not one of this model.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    void Load(string name, string folder);

    /// <summary>Unloads an adapter that no request uses any more.</summary>
    /// <param name="name">Its name.</param>
    void Unload(string name);
}
