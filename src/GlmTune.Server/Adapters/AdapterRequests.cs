using System.Text.Json;

namespace GlmTune.Server;

/// <summary>The body of <c>POST /v1/load_lora_adapter</c>, as vLLM has it.</summary>
internal sealed record LoadAdapterRequest
{
    /// <summary>Name of the adapter in later requests.</summary>
    public string? LoraName { get; init; }

    /// <summary>Its folder: an absolute path, or one from the allowed folder on.</summary>
    public string? LoraPath { get; init; }

    /// <summary>Only false: a loaded adapter is not replaced.</summary>
    public bool? LoadInplace { get; init; }
}

/// <summary>The body of <c>POST /v1/unload_lora_adapter</c>, as vLLM has it.</summary>
internal sealed record UnloadAdapterRequest
{
    /// <summary>Name of the adapter.</summary>
    public string? LoraName { get; init; }

    /// <summary>Accepted without effect: adapters are known by their names.</summary>
    public JsonElement? LoraIntId { get; init; }
}
