using GlmTune.Model.Layers;
using GlmTune.Training.Optimization;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Who holds which weights, gradients and optimizer state: all that training knows of ranks, beside its sums
/// and checkpoints.</summary>
/// <remarks>Every rank makes the same calls for the same layers in the same order, whether it has data or not. Made by
/// <see cref="DataParallel"/>.</remarks>
public interface ISharding : IUnitWeights, IDisposable
{
    /// <summary>ZeRO's stage: 0 nothing is sharded, 1 optimizer state, 2 gradients too, 3 weights too.</summary>
    int Stage { get; }

    /// <summary>The update being computed, from 1, for messages of lost ranks; null: none.</summary>
    long? CurrentStep { get; set; }

    /// <summary>This rank's slices of what is trained: all that the optimizer sees.</summary>
    IReadOnlyList<FlatShard> Trainable { get; }

    /// <summary>Whether there is no other rank, and every weight stays where it is on the device.</summary>
    bool Alone => false;

    /// <summary>Bytes on the device that gathered weights, and gradients on their way to their owners, take at most
    /// beside the state that stays.</summary>
    long PassingBytes => 0;

    /// <summary>What updates shards whose state rests on the host; null: it is on the device.</summary>
    HostAdamW? HostOptimizer { get; }

    /// <summary>Says which layers will be unsharded in which order until the next call, so that they can be gathered
    /// ahead.</summary>
    /// <param name="uses">Every coming <see cref="IUnitWeights.Unshard"/>, in order.</param>
    /// <param name="lastOfStep">Whether gradients that are summed once a step are summed as this pass goes: true for a
    /// step's last micro-batch.</param>
    void BeginPass(IReadOnlyList<Layer> uses, bool lastOfStep);

    /// <summary>Adds the gradients that a layer's parameters collected to the slices of their owners, over all ranks,
    /// and clears them.</summary>
    /// <remarks>The sums may be under way until <see cref="FinishGradients"/>.</remarks>
    void ReduceGradients(Layer layer);

    /// <summary>Returns when the gradients of <see cref="Trainable"/> are complete.</summary>
    void FinishGradients();

    /// <summary>Brings updated values from the slices back to the parameters.</summary>
    void ShareUpdates();

    /// <summary>Brings a layer's whole values together, and hands them out parameter by parameter, in the layer's
    /// order, as for saving.</summary>
    /// <param name="layer">Whose.</param>
    /// <param name="use">Gets a parameter and its values in its shape: in full precision (float32 or wider) where it is
    /// trained, else as layers compute with it. They are valid during the call. Weights that are held in fp8 are left
    /// out.</param>
    /// <param name="trainedOnly">Whether only trained parameters are handed out, so that frozen ones need not be
    /// gathered; the same on all ranks.</param>
    void GatherValues(Layer layer, Action<Parameter, Tensor> use, bool trainedOnly = false);

    /// <summary>Sum over all ranks of a host number.</summary>
    double Sum(double value);

    /// <summary>Sums a buffer over all ranks, in place, on the device.</summary>
    void Sum(Tensor buffer);
}
