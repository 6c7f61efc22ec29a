namespace GlmTune.Hub;

/// <summary>A file of a repository as its site lists it.</summary>
/// <param name="Name">Path inside the repository.</param>
/// <param name="Size">Size in bytes; null if the site does not list it.</param>
/// <param name="Hash">Hash of its content; null if the site does not list it.</param>
internal sealed record HubFile(string Name, long? Size, ContentHash? Hash);

/// <summary>A repository as its site lists it.</summary>
/// <param name="Commit">The commit; null if the site does not name it.</param>
/// <param name="Files">All files.</param>
internal sealed record HubListing(string? Commit, IReadOnlyList<HubFile> Files);
