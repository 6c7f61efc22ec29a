using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Training.Sharding;

/// <summary>Who holds which weights, gradients and optimizer state: all that training knows of ranks, beside its sums and checkpoints.</summary>
public interface ISharding : IDisposable
{
    /// <summary>This rank's slices of what is trained: all that the optimizer sees.</summary>
    IReadOnlyList<FlatShard> Trainable { get; }

    /// <summary>Brings a layer's weights into memory, until <see cref="Reshard"/>.</summary>
    void Unshard(Layer layer);

    /// <summary>Lets a layer's weights go, if they are sharded.</summary>
    void Reshard(Layer layer);

    /// <summary>Adds the gradients that a layer's parameters collected to the slices of their owners, over all ranks, and clears them.</summary>
    /// <remarks>Every rank calls it for the same layers in the same order.</remarks>
    void ReduceGradients(Layer layer);

    /// <summary>Brings updated values from the slices back to the parameters.</summary>
    void ShareUpdates();

    /// <summary>Sum over all ranks of a host number.</summary>
    double Sum(double value);

    /// <summary>Sums a float32 buffer over all ranks, in place, on the device.</summary>
    void Sum(Tensor buffer);
}
