using System.Diagnostics;
using GlmTune.Kernels.Native;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>A checked call with its own references to the tensors, flattened and detached; released when it has
/// finished.</summary>
internal sealed class CollectiveOperation
{
    public CollectiveOperation(CollectiveCall call, Tensor input, Tensor output)
    {
        Call = call;
        using var scope = NewDisposeScope();
        Input = input.detach().view(-1).DetachFromDisposeScope();
        Output = ReferenceEquals(input, output) ? Input : output.detach().view(-1).DetachFromDisposeScope();
        ElementSize = Input.element_size();
        Count = Input.numel();
    }

    public CollectiveCall Call { get; }

    /// <summary>The input of this rank, [Count].</summary>
    public Tensor Input { get; }

    /// <summary>The output; the same object as <see cref="Input"/> for in-place calls.</summary>
    public Tensor Output { get; }

    /// <summary>Number of elements of <see cref="Input"/>.</summary>
    public long Count { get; }

    public long ElementSize { get; }

    public long Started { get; } = Stopwatch.GetTimestamp();

    public nint InputAddress => TensorAddress.Of(Input);

    public nint OutputAddress => TensorAddress.Of(Output);

    public void Release()
    {
        Input.Dispose();
        Output.Dispose();
    }
}
