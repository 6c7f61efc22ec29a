namespace GlmTune.Training.Sharding;

/// <summary>What is spread over the ranks, and how it is sent: a DeepSpeed configuration with every <c>auto</c>
/// resolved.</summary>
/// <remarks>Immutable. Sizes count elements, not bytes. Source: Rajbhandari et al., ZeRO, arXiv:1910.02054.</remarks>
public sealed record ShardingOptions
{
    /// <summary>0: nothing is sharded; 1: optimizer state; 2: gradients too; 3: weights too. Default 0.</summary>
    public int Stage { get; init; }

    /// <summary>Elements of gradients reduced at a time. Default 5e8.</summary>
    public long ReduceBucketElements { get; init; } = 500_000_000;

    /// <summary>Elements of updated weights gathered at a time (stages 1 and 2). Default 5e8.</summary>
    public long AllGatherBucketElements { get; init; } = 500_000_000;

    /// <summary>Whether communication runs beside computation. Default true.</summary>
    public bool OverlapCommunication { get; init; } = true;

    /// <summary>Elements that the optimizer updates at a time. Default 1e9.</summary>
    public long SubGroupElements { get; init; } = 1_000_000_000;

    /// <summary>Elements gathered ahead of their use (stage 3). Default 5e7.</summary>
    public long PrefetchElements { get; init; } = 50_000_000;

    /// <summary>Tensors with fewer elements stay whole on each rank (stage 3). Default 1e5.</summary>
    public long PersistenceThreshold { get; init; } = 100_000;

    /// <summary>Most gathered elements kept at once (stage 3). Default 1e9.</summary>
    public long MaxLiveElements { get; init; } = 1_000_000_000;

    /// <summary>Gathered weights stay when they are needed again within so many elements (stage 3). Default
    /// 1e9.</summary>
    public long MaxReuseDistance { get; init; } = 1_000_000_000;

    /// <summary>Whether a save also writes one whole 16-bit model (stage 3). Default false.</summary>
    public bool GatherWeightsOnSave { get; init; }

    /// <summary>Whether the optimizer state, and its step, are in host memory. Default false.</summary>
    public bool OffloadOptimizer { get; init; }

    /// <summary>Whether weights rest in host memory (stage 3). Default false.</summary>
    public bool OffloadParameters { get; init; }

    /// <summary>Whether that host memory is page-locked, so that copies overlap. Default true.</summary>
    public bool PinMemory { get; init; } = true;

    /// <summary>Type in which gradients are sent. Default <see cref="CommunicationType.Auto"/>.</summary>
    public CommunicationType Communication { get; init; }
}

/// <summary>Type in which gradients are sent between ranks.</summary>
public enum CommunicationType
{
    /// <summary>The type that they have.</summary>
    Auto,

    /// <summary>float32.</summary>
    Float32,

    /// <summary>bfloat16.</summary>
    BFloat16,
}
