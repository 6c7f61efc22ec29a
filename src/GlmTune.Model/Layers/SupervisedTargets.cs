using static TorchSharp.torch;

namespace GlmTune.Model.Layers;

/// <summary>From which tokens the loss is computed, and what each should predict: the labels, shifted once.</summary>
public sealed class SupervisedTargets : IDisposable
{
    /// <param name="rows">Tokens to predict from, indices into the pass's N tokens.</param>
    /// <param name="targets">The token that follows each.</param>
    /// <param name="device">Where the tensors go.</param>
    public SupervisedTargets(int[] rows, int[] targets, Device device)
    {
        Count = rows.Length;
        Rows = tensor(Array.ConvertAll(rows, row => (long)row)).to(device).DetachFromDisposeScope();
        Targets = tensor(Array.ConvertAll(targets, target => (long)target)).to(device).DetachFromDisposeScope();
    }

    /// <summary>M: number of targets.</summary>
    public int Count { get; }

    /// <summary>int64 [M].</summary>
    public Tensor Rows { get; }

    /// <summary>int64 [M].</summary>
    public Tensor Targets { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Rows.Dispose();
        Targets.Dispose();
    }
}
