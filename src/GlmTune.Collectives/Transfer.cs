using System.Diagnostics;
using GlmTune.Collectives.Native;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>A checked call with its own references to the tensors, as flat tensors without a graph; released when it is
/// finished.</summary>
internal sealed class Transfer
{
    public Transfer(CollectiveCall call, Tensor input, Tensor output)
    {
        Call = call;
        using var scope = NewDisposeScope();
        Input = input.detach().view(-1).DetachFromDisposeScope();
        Output = ReferenceEquals(input, output) ? Input : output.detach().view(-1).DetachFromDisposeScope();
        ElementSize = Input.element_size();
        Count = Input.numel();
    }

    public CollectiveCall Call { get; }

    /// <summary>What this rank gives, [Count].</summary>
    public Tensor Input { get; }

    /// <summary>What it gets; the same object as <see cref="Input"/> for calls in place.</summary>
    public Tensor Output { get; }

    /// <summary>Elements of <see cref="Input"/>.</summary>
    public long Count { get; }

    public long ElementSize { get; }

    public long Started { get; } = Stopwatch.GetTimestamp();

    public nint InputAddress => TensorMemory.Address(Input);

    public nint OutputAddress => TensorMemory.Address(Output);

    public void Release()
    {
        Input.Dispose();
        Output.Dispose();
    }
}
