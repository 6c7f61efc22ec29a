using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>From which tokens the loss is computed, and what each should predict: the labels, shifted once.</summary>
/// <remarks>Its device tensors are made on first need and disposed with it. Not thread-safe.</remarks>
public sealed class SupervisedTargets : IDisposable
{
    private readonly int[] rows;
    private readonly int[] targets;
    private readonly Device device;
    private Tensor? rowTensor;
    private Tensor? targetTensor;

    /// <param name="rows">Tokens to predict from, indices into the pass's N tokens, rising.</param>
    /// <param name="targets">The token that follows each.</param>
    /// <param name="device">Where the tensors go.</param>
    public SupervisedTargets(int[] rows, int[] targets, Device device)
    {
        (this.rows, this.targets, this.device) = (rows, targets, device);
        Count = rows.Length;
    }

    /// <summary>Targets in memory that captured work finds filled anew at each replay; some may be below 0, which count
    /// nothing.</summary>
    /// <param name="rows">int64 [M], rising; stays the caller's.</param>
    /// <param name="targets">int64 [M]; stays the caller's.</param>
    public SupervisedTargets(Tensor rows, Tensor targets)
    {
        (this.rows, this.targets, device) = ([], [], rows.device);
        Count = (int)rows.shape[0];
        (rowTensor, targetTensor) = (rows.alias().DetachFromDisposeScope(), targets.alias().DetachFromDisposeScope());
    }

    /// <summary>M: number of targets.</summary>
    public int Count { get; }

    /// <summary>The tokens to predict from, on the host; empty where only memory has them.</summary>
    public IReadOnlyList<int> HostRows => rows;

    /// <summary>The targets, likewise.</summary>
    public IReadOnlyList<int> HostTargets => targets;

    /// <summary>int64 [M].</summary>
    public Tensor Rows => rowTensor ??= Sent(rows);

    /// <summary>int64 [M].</summary>
    public Tensor Targets => targetTensor ??= Sent(targets);

    /// <summary>The same targets with their tensors on another device; the caller disposes them.</summary>
    internal SupervisedTargets On(Device other) => new([.. rows], [.. targets], other);

    /// <inheritdoc/>
    public void Dispose()
    {
        rowTensor?.Dispose();
        targetTensor?.Dispose();
    }

    private Tensor Sent(int[] values) =>
        HostValues.ToDevice(Array.ConvertAll(values, value => (long)value), device).DetachFromDisposeScope();
}
