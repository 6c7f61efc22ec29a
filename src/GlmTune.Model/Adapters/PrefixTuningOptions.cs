namespace GlmTune.Model.Adapters;

/// <summary>Options of a prefix adapter (P-Tuning v2), with the names of PEFT's <c>PrefixTuningConfig</c>.</summary>
/// <remarks>Immutable. Null sizes are taken from the model; others must equal the model's. Source: Liu et al., P-Tuning
/// v2, arXiv:2110.07602.</remarks>
public sealed record PrefixTuningOptions
{
    /// <summary>Number of virtual tokens before every layer's keys and values (<c>num_virtual_tokens</c>); at least 1.
    /// Default: 512, as in the GLM-4 fine-tuning demo.</summary>
    public int VirtualTokens { get; init; } = 512;

    /// <summary>Number of key-value heads (<c>num_attention_heads</c>); null: the model's.</summary>
    public int? AttentionHeads { get; init; }

    /// <summary>Key-value heads × head size (<c>token_dim</c>); null: the model's.</summary>
    public int? TokenDim { get; init; }

    /// <summary>Number of decoder layers (<c>num_layers</c>); null: the model's.</summary>
    public int? Layers { get; init; }

    /// <summary>Train a small embedding and two linear layers that compute the prefix (<c>prefix_projection</c>),
    /// instead of the prefix itself. Default: false.</summary>
    public bool Projection { get; init; }

    /// <summary>Width between the two linear layers of the projection (<c>encoder_hidden_size</c>); null:
    /// <see cref="TokenDim"/>.</summary>
    public int? EncoderHiddenSize { get; init; }

    /// <summary>Initialization of the prefix. Default: <see cref="PrefixInitialization.Text"/>.</summary>
    public PrefixInitialization Initialization { get; init; }

    /// <summary>Text whose keys and values initialize the prefix; null: the first training prompts. Only with
    /// <see cref="PrefixInitialization.Text"/>.</summary>
    public string? InitializationText { get; init; }

    /// <summary>Position of the first real token. Default: <see cref="PrefixPositions.Auto"/>.</summary>
    public PrefixPositions Positions { get; init; }
}

/// <summary>Initialization of a prefix's keys and values.</summary>
public enum PrefixInitialization
{
    /// <summary>The keys and values that the base model computes for a text.</summary>
    Text,

    /// <summary>Standard normal, as in PEFT and the demo.</summary>
    Normal,

    /// <summary>Zeros.</summary>
    Zero,
}

/// <summary>Rules for the position of the first real token after a prefix.</summary>
public enum PrefixPositions
{
    /// <summary>The rule of the model's checkpoint layout, or the one recorded with a saved adapter.</summary>
    Auto,

    /// <summary>0: the prefix does not shift positions (original layout).</summary>
    Original,

    /// <summary>The number of virtual tokens: the prefix counts (library layout).</summary>
    Library,
}
