namespace GlmTune.Model.Adapters;

/// <summary>What a prefix adapter (P-Tuning v2) is: the words of PEFT's <c>PrefixTuningConfig</c>.</summary>
/// <remarks>Immutable. Sizes that are null come from the model; given ones must equal the model's. Source: Liu et al.,
/// P-Tuning v2, arXiv:2110.07602.</remarks>
public sealed record PrefixTuningOptions
{
    /// <summary>Virtual tokens before every layer's keys and values (<c>num_virtual_tokens</c>); at least 1. Default
    /// 512, as the GLM-4 fine-tuning demo has it.</summary>
    public int VirtualTokens { get; init; } = 512;

    /// <summary>Key-value heads of the model (<c>num_attention_heads</c>); null takes the model's.</summary>
    public int? AttentionHeads { get; init; }

    /// <summary>Key-value heads × head size (<c>token_dim</c>); null takes the model's.</summary>
    public int? TokenDim { get; init; }

    /// <summary>Decoder layers (<c>num_layers</c>); null takes the model's.</summary>
    public int? Layers { get; init; }

    /// <summary>Learn a small embedding and two linear layers that make the prefix (<c>prefix_projection</c>), not the
    /// prefix itself. Default false.</summary>
    public bool Projection { get; init; }

    /// <summary>Width between the two linear layers of the projection (<c>encoder_hidden_size</c>); null is
    /// <see cref="TokenDim"/>.</summary>
    public int? EncoderHiddenSize { get; init; }

    /// <summary>How the prefix begins. Default <see cref="PrefixInitialization.Text"/>.</summary>
    public PrefixInitialization Initialization { get; init; }

    /// <summary>The text whose keys and values start the prefix; null takes the first training prompts. Only with
    /// <see cref="PrefixInitialization.Text"/>.</summary>
    public string? InitializationText { get; init; }

    /// <summary>At which position the first real token stands. Default <see cref="PrefixPositions.Auto"/>.</summary>
    public PrefixPositions Positions { get; init; }
}

/// <summary>How the keys and values of a prefix begin.</summary>
public enum PrefixInitialization
{
    /// <summary>The keys and values that the base model computes for text.</summary>
    Text,

    /// <summary>Standard normal, as PEFT and the demo do.</summary>
    Normal,

    /// <summary>Zero.</summary>
    Zero,
}

/// <summary>At which position the first real token after a prefix stands.</summary>
public enum PrefixPositions
{
    /// <summary>The rule of the model's checkpoint layout, or the one recorded with a saved adapter.</summary>
    Auto,

    /// <summary>0: the prefix does not shift positions (original layout).</summary>
    Original,

    /// <summary>The number of virtual tokens: the prefix counts (library layout).</summary>
    Library,
}
