namespace GlmTune.Studio.Setup;

/// <summary>What a run is made of, as the page sends it.</summary>
internal sealed record SetupRequest
{
    /// <summary>Name of a listed model.</summary>
    public string? Model { get; init; }

    /// <summary>The recipe, as YAML.</summary>
    public string? Recipe { get; init; }

    /// <summary>Name of the run to start.</summary>
    public string? Name { get; init; }

    /// <summary>Memory of the GPU to plan for, such as 24GB; null: that of this machine.</summary>
    public string? GpuMemory { get; init; }

    /// <summary>Keys to set in the recipe, by full name, in this order; null removes a key.</summary>
    public IReadOnlyDictionary<string, string?>? Set { get; init; }
}
