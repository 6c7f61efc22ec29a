namespace GlmTune.Server;

/// <summary>Address, access rules and limits of a server.</summary>
internal sealed record ServerOptions
{
    /// <summary>Address to listen on: an IP address, or <c>localhost</c>. Default: 127.0.0.1, which other machines
    /// cannot reach.</summary>
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>Port to listen on; 0 picks a free one. Default: 8000.</summary>
    public int Port { get; init; } = 8000;

    /// <summary>API keys, one of which each request under <c>/v1</c> must send as a bearer token. Default: none, so no
    /// key is required.</summary>
    public IReadOnlyList<string> ApiKeys { get; init; } = [];

    /// <summary>Accepted Host headers besides the machine's loopback names; used only while listening on loopback.
    /// Default: none.</summary>
    public IReadOnlyList<string> AllowedHosts { get; init; } = [];

    /// <summary>Origins (<c>https://example.org</c>, or <c>*</c> for all) whose pages may call the server from a
    /// browser. Default: none.</summary>
    public IReadOnlyList<string> CorsOrigins { get; init; } = [];

    /// <summary>Folders whose training runs are shown at <c>/runs</c>: output folders, or their parent folders.
    /// Default: none.</summary>
    public IReadOnlyList<string> RunFolders { get; init; } = [];

    /// <summary>Limits on requests.</summary>
    public ServerLimits Limits { get; init; } = new();

    /// <summary>How long running answers may continue after the server has been asked to stop. Default: 30
    /// seconds.</summary>
    public TimeSpan StopTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Clock for all time limits.</summary>
    internal TimeProvider Time { get; init; } = TimeProvider.System;
}
