using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Distribution of weights, gradients and optimizer state over the ranks. Apart from sums and checkpoints,
/// training knows nothing else about ranks.</summary>
/// <remarks>Every rank makes the same calls for the same layers in the same order, whether it has data or not. Created
/// by <see cref="DataParallel"/>.</remarks>
internal interface ISharding : IUnitWeights, IDisposable
{
    /// <summary>ZeRO stage: 0: nothing is sharded; 1: optimizer state; 2: also gradients; 3: also weights.</summary>
    int Stage { get; }

    /// <summary>Number of the current update, from 1, for messages about lost ranks; null: none.</summary>
    long? CurrentStep { get; set; }

    /// <summary>Seed of the run, from which the rounding of summed gradients follows.</summary>
    long Seed { get; set; }

    /// <summary>Whether each layer is updated as soon as its gradients are known
    /// (<see cref="ShardingOptions.UpdatesByLayer"/>).</summary>
    bool UpdatesByLayer => false;

    /// <summary>This rank's slices of the trained parameters: all that the optimizer sees.</summary>
    IReadOnlyList<FlatShard> Trainable { get; }

    /// <summary>Whether there is only one rank and all weights stay on the device.</summary>
    bool Alone => false;

    /// <summary>Maximum bytes on the device for gathered weights, and for gradients before they are reduced, in
    /// addition to permanent state.</summary>
    long PassingBytes => 0;

    /// <summary>Updates the shards on the host, where their state is; null: they are updated on the device.</summary>
    HostAdamW? HostOptimizer { get; }

    /// <summary>Updates shards on the device whose state is on the host; null: there are none.</summary>
    StreamedAdamW? StreamedOptimizer => null;

    /// <summary>The shards of a layer, in order.</summary>
    IReadOnlyList<FlatShard> ShardsOf(Layer layer);

    /// <summary>Announces the order in which layers will be unsharded until the next call, so that they can be gathered
    /// ahead.</summary>
    /// <param name="uses">Every upcoming <see cref="IUnitWeights.Unshard"/>, in order.</param>
    /// <param name="lastOfStep">Whether gradients that are reduced once per step are reduced in this pass: true for the
    /// last micro-batch of a step.</param>
    void BeginPass(IReadOnlyList<Layer> uses, bool lastOfStep);

    /// <summary>Adds the gradients collected by a layer's parameters to the slices of their owners, over all ranks, and
    /// clears them.</summary>
    /// <remarks>The reductions may still be running until <see cref="FinishGradients"/>.</remarks>
    void ReduceGradients(Layer layer);

    /// <summary>Returns when the gradients of <see cref="Trainable"/> are complete.</summary>
    void FinishGradients();

    /// <summary>Forgets the gradients of a step that is not finished, and updates that it has started.</summary>
    void DropGradients();

    /// <summary>Copies updated values from the slices back to the parameters.</summary>
    void ShareUpdates();

    /// <summary>Gathers a layer's full values and yields them parameter by parameter, in the layer's order, for example
    /// for saving.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="use">Called with a parameter and its values in its shape: in full precision (float32 or wider) if
    /// it is trained, otherwise in the layers' type. Valid during the call. Weights stored in fp8 are skipped.</param>
    /// <param name="trainedOnly">Whether only trained parameters are needed, so that frozen ones need not be gathered;
    /// the same on all ranks.</param>
    void GatherValues(Layer layer, Action<Parameter, Tensor> use, bool trainedOnly = false);

    /// <summary>Sums a host number over all ranks.</summary>
    double Sum(double value);

    /// <summary>Sums a buffer over all ranks, in place, on the device.</summary>
    void Sum(Tensor buffer);
}
