using GlmTune.Kernels.Memory;
using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>The positions from which the loss is computed, with the token to predict at each: the labels, shifted
/// once.</summary>
/// <remarks>Its device tensors are created on first use and disposed with it. Not thread-safe.</remarks>
internal sealed class SupervisedTargets : IDisposable
{
    private readonly int[] rows;
    private readonly int[] targets;
    private readonly Device device;
    private Tensor? rowTensor;
    private Tensor? targetTensor;

    /// <param name="rows">Indices of the tokens to predict from among the pass's N tokens, ascending.</param>
    /// <param name="targets">The token that follows each.</param>
    /// <param name="device">Device of the tensors.</param>
    public SupervisedTargets(int[] rows, int[] targets, Device device)
    {
        (this.rows, this.targets, this.device) = (rows, targets, device);
        Count = rows.Length;
    }

    /// <summary>Targets in device memory that are refilled for each replay of a captured graph; those below 0 are
    /// ignored.</summary>
    /// <param name="rows">int64 [M], ascending; remains owned by the caller.</param>
    /// <param name="targets">int64 [M]; remains owned by the caller.</param>
    public SupervisedTargets(Tensor rows, Tensor targets)
    {
        (this.rows, this.targets, device) = ([], [], rows.device);
        Count = (int)rows.shape[0];
        (rowTensor, targetTensor) = (rows.alias().DetachFromDisposeScope(), targets.alias().DetachFromDisposeScope());
    }

    /// <summary>Number of targets, M.</summary>
    public int Count { get; }

    /// <summary>The tokens to predict from, on the host; empty if they exist only in device memory.</summary>
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
