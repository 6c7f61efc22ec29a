namespace GlmTune.Server;

/// <summary>Where a server listens, whom it lets in, and how much it takes.</summary>
public sealed record ServerOptions
{
    /// <summary>Address to listen on: an IP address, or <c>localhost</c>. Default 127.0.0.1, which other machines
    /// cannot reach.</summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>Port to listen on; 0 takes a free one. Default 8000.</summary>
    public int Port { get; init; } = 8000;

    /// <summary>Keys of which each request under <c>/v1</c> must bring one as a bearer token. Default none: no key is
    /// asked for.</summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = [];

    /// <summary>Names that a Host header may have besides the machine's loopback names; only looked at while listening
    /// on loopback. Default none.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];

    /// <summary>Origins (<c>https://example.org</c>, or <c>*</c> for all) whose pages may call the server from a
    /// browser. Default none.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>Folders whose training runs the page at <c>/runs</c> shows: output folders, or folders above them.
    /// Default none.</summary>
    public IReadOnlyList<string> RunFolders { get; init; } = [];

    /// <summary>How much a request may ask for.</summary>
    public ServerLimits Limits { get; init; } = new();

    /// <summary>How long running answers may go on once the server is asked to stop. Default 30 seconds.</summary>
    public TimeSpan StopTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The clock of all limits of time.</summary>
    internal TimeProvider Time { get; init; } = TimeProvider.System;
}
