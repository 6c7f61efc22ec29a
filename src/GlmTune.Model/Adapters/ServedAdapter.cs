using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>One of several adapters served side by side on a model.</summary>
/// <remarks>Owned by its <see cref="ServedAdapters"/>.</remarks>
internal sealed class ServedAdapter
{
    internal ServedAdapter(string name, string kind) => (Name, Kind) = (name, kind);

    /// <summary>Its name in requests.</summary>
    public string Name { get; }

    /// <summary>LoRA, DoRA or P-Tuning v2.</summary>
    public string Kind { get; }

    /// <summary>P: positions at the start of a cache slot that its prefix takes; 0 for LoRA.</summary>
    public int VirtualTokens { get; internal init; }

    /// <summary>Position of the first real token: P if a prefix was trained by the library layout's rule, otherwise
    /// 0.</summary>
    public int FirstPosition { get; internal init; }

    /// <summary>Its row in the tables of scales; for a prefix 0, the row of the base model.</summary>
    public int TableRow { get; internal set; }

    /// <summary>Whether it can still be used: false after it was unloaded.</summary>
    public bool IsLoaded { get; internal set; } = true;

    /// <summary>Keys and values of its virtual tokens, [2, P, K, D] for each decoder layer; empty for LoRA.</summary>
    internal IReadOnlyList<Tensor> Prefixes { get; init; } = [];

    /// <inheritdoc/>
    public override string ToString() => $"{Name} ({Kind})";
}
