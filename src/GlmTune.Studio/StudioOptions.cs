using GlmTune.Server;

namespace GlmTune.Studio;

/// <summary>What a studio works with.</summary>
internal sealed record StudioOptions
{
    /// <summary>The folder in which jobs run, and to which paths are relative.</summary>
    public required string WorkingFolder { get; init; }

    /// <summary>Folders that are searched for models and data files. Nothing outside of them is read, apart from the
    /// caches of downloaded models.</summary>
    public required IReadOnlyList<string> Roots { get; init; }

    /// <summary>Folder of the runs: each gets a folder in it.</summary>
    public required string Output { get; init; }

    /// <summary>The command that runs this program with some arguments.</summary>
    public required Func<IReadOnlyList<string>, IReadOnlyList<string>> Program { get; init; }

    /// <summary>Translates messages into Chinese.</summary>
    public Func<string, string> Chinese { get; init; } = text => text;

    /// <summary>Address and access rules.</summary>
    public ServerOptions Server { get; init; } = new() { Port = 8002 };

    /// <summary>What the studio keeps beside the runs: jobs, its key.</summary>
    public string OwnFolder => Path.Combine(Output, ".studio");
}
