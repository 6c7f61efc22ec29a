namespace GlmTune.Hub.Downloading;

/// <summary>Progress of a download.</summary>
/// <param name="Done">Bytes that are here.</param>
/// <param name="Total">Bytes of all files that are known so far.</param>
/// <param name="Received">Bytes that this process has received; the others were here before.</param>
internal readonly record struct PullProgress(long Done, long Total, long Received);

/// <summary>A downloaded model.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Site">Where it came from.</param>
/// <param name="Folder">The model folder.</param>
/// <param name="FileCount">Number of its files.</param>
/// <param name="Bytes">Size of its files in bytes.</param>
/// <param name="Received">Bytes that were received; 0 if everything was here.</param>
internal sealed record PulledModel(
    HubName Name,
    ModelSite Site,
    string Folder,
    int FileCount,
    long Bytes,
    long Received
);
