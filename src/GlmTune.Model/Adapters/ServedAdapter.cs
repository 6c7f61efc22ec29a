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

    /// <summary>Whether it changes linear layers, so that it needs a row of their tables; false for a prefix.</summary>
    public bool IsLowRank => Matrices is not null;

    /// <summary>Its row in the tables of the layers; 0 while its matrices are not on the device, and for a
    /// prefix.</summary>
    public int TableRow { get; internal set; }

    /// <summary>Whether it can still be used: false after it was unloaded.</summary>
    public bool IsLoaded { get; internal set; } = true;

    /// <summary>Its matrices; null for a prefix.</summary>
    internal AdapterMatrices? Matrices { get; init; }

    /// <summary>When it was last used, by the count of its <see cref="ServedAdapters"/>.</summary>
    internal long LastUse { get; set; }

    /// <summary>Keys and values of its virtual tokens, [2, P, K, D] for each decoder layer; empty for LoRA.</summary>
    internal IReadOnlyList<Tensor> Prefixes { get; init; } = [];

    /// <inheritdoc/>
    public override string ToString() => $"{Name} ({Kind})";
}
