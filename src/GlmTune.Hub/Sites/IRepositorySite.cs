namespace GlmTune.Hub.Sites;

/// <summary>What the sites have in common.</summary>
internal interface IRepositorySite
{
    /// <summary>The revision that is meant if a name has none.</summary>
    string MainRevision { get; }

    /// <summary>Lists the files of a repository.</summary>
    /// <exception cref="InvalidDataException">The site does not have it, refuses access, or its list is
    /// damaged.</exception>
    /// <exception cref="IOException">The site cannot be reached.</exception>
    Task<HubListing> ListAsync(HubName name, CancellationToken stop);

    /// <summary>Completes an entry of the list with size and hash.</summary>
    /// <exception cref="InvalidDataException">The site has no hash for this file.</exception>
    /// <exception cref="IOException">The site cannot be reached.</exception>
    Task<HubFile> CompleteAsync(HubName name, HubListing listing, HubFile file, CancellationToken stop);

    /// <summary>Address of a file.</summary>
    Uri AddressOf(HubName name, HubListing listing, HubFile file);
}
