using GlmTune.Training.Optimization;

namespace GlmTune.Training.Sharding;

/// <summary>What is sharded over the ranks, and how it is communicated: a DeepSpeed configuration with every
/// <c>auto</c> resolved.</summary>
/// <remarks>Immutable. Sizes are in elements, not bytes. Source: Rajbhandari et al., ZeRO, arXiv:1910.02054.</remarks>
internal sealed record ShardingOptions
{
    /// <summary>ZeRO stage: 0: nothing is sharded; 1: optimizer state; 2: also gradients; 3: also weights. Default:
    /// 0.</summary>
    public int Stage { get; init; }

    /// <summary>Number of gradient elements reduced at a time. Default: 5e8.</summary>
    public long ReduceBucketElements { get; init; } = 500_000_000;

    /// <summary>Number of updated weight elements gathered at a time (stages 1 and 2). Default: 5e8.</summary>
    public long AllGatherBucketElements { get; init; } = 500_000_000;

    /// <summary>Whether communication overlaps computation. Default: true.</summary>
    public bool OverlapCommunication { get; init; } = true;

    /// <summary>Number of elements that the optimizer updates at a time. Default: 1e9.</summary>
    public long SubGroupElements { get; init; } = 1_000_000_000;

    /// <summary>Number of elements gathered ahead of their use (stage 3). Default: 5e7.</summary>
    public long PrefetchElements { get; init; } = 50_000_000;

    /// <summary>Tensors with fewer elements stay whole on each rank (stage 3). Default: 1e5.</summary>
    public long PersistenceThreshold { get; init; } = 100_000;

    /// <summary>Maximum number of gathered elements kept at once (stage 3). Default: 1e9.</summary>
    public long MaxLiveElements { get; init; } = 1_000_000_000;

    /// <summary>Gathered weights stay in memory if they are needed again within this many elements (stage 3). Default:
    /// 1e9.</summary>
    public long MaxReuseDistance { get; init; } = 1_000_000_000;

    /// <summary>Whether saving also writes a complete 16-bit model (stage 3). Default: false.</summary>
    public bool GatherWeightsOnSave { get; init; }

    /// <summary>How many bytes the optimizer state takes. Default: full precision.</summary>
    public StateOptions State { get; init; } = new();

    /// <summary>Whether each layer is updated as soon as its gradients are known, so that those of the whole model
    /// never exist at once: for one process, without clipping, and with one micro-batch per step. Default:
    /// false.</summary>
    public bool UpdatesByLayer { get; init; }

    /// <summary>Whether the optimizer state is in host memory: in full precision it is updated there, otherwise on the
    /// device piece by piece. Default: false.</summary>
    public bool OffloadOptimizer { get; init; }

    /// <summary>Whether weights are stored in host memory, and brought to the device layer by layer (stage 3, also of a
    /// single rank). Default: false.</summary>
    public bool OffloadParameters { get; init; }

    /// <summary>Whether that host memory is page-locked, so that copies overlap. Default: true.</summary>
    public bool PinMemory { get; init; } = true;

    /// <summary>Type in which gradients are sent. Default: <see cref="CommunicationType.Auto"/>.</summary>
    public CommunicationType Communication { get; init; }

    /// <summary>The same with the optimizer state in host memory. In full precision it is updated there, with all
    /// gradients at hand.</summary>
    public ShardingOptions WithOptimizerOnHost() =>
        this with
        {
            OffloadOptimizer = true,
            UpdatesByLayer = UpdatesByLayer && !State.IsFull,
        };

    /// <summary>The same with the weights in host memory: as slices of stage 3, of which a single rank has the whole.
    /// Checkpoints stay complete models.</summary>
    public ShardingOptions WithParametersOnHost() =>
        this with
        {
            Stage = 3,
            OffloadParameters = true,
            GatherWeightsOnSave = Stage < 3 || GatherWeightsOnSave,
            // Each layer comes and goes: what stays a little longer would take memory and save almost no copies.
            MaxReuseDistance = Stage < 3 ? 0 : MaxReuseDistance,
        };
}

/// <summary>Types in which gradients can be sent between ranks.</summary>
internal enum CommunicationType
{
    /// <summary>Their own type.</summary>
    Auto,

    /// <summary>float32.</summary>
    Float32,

    /// <summary>bfloat16.</summary>
    BFloat16,
}
