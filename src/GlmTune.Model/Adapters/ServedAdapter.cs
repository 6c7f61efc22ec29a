using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>One of the adapters that a model serves side by side.</summary>
/// <remarks>It belongs to its <see cref="ServedAdapters"/>.</remarks>
public sealed class ServedAdapter
{
    internal ServedAdapter(string name, string kind) => (Name, Kind) = (name, kind);

    /// <summary>What requests call it.</summary>
    public string Name { get; }

    /// <summary>LoRA, DoRA or P-Tuning v2.</summary>
    public string Kind { get; }

    /// <summary>P: positions at the start of a cache slot that its prefix takes; 0 for LoRA.</summary>
    public int VirtualTokens { get; internal init; }

    /// <summary>Position of the first real token: P where a prefix was trained by the library layout's rule, else
    /// 0.</summary>
    public int FirstPosition { get; internal init; }

    /// <summary>Its row in the tables of the layers' scales; 0, the base's row, for a prefix.</summary>
    public int TableRow { get; internal set; }

    /// <summary>Whether it can still be used: not once it was unloaded.</summary>
    public bool IsLoaded { get; internal set; } = true;

    /// <summary>Keys and values of its virtual tokens, [2, P, K, D] for each decoder layer; none for LoRA.</summary>
    internal IReadOnlyList<Tensor> Prefixes { get; init; } = [];

    /// <inheritdoc/>
    public override string ToString() => $"{Name} ({Kind})";
}
