using System.Diagnostics;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>A world of one: the same calls without communication; nothing is copied if input and output are the same
/// memory.</summary>
internal sealed class SingleRank : Backend
{
    /// <summary>The only rank, with tensors on <paramref name="device"/>; the CPU by default.</summary>
    public SingleRank(Device? device = null)
        : base(0, 1, device ?? CPU, new CollectivesOptions()) { }

    /// <summary>Does nothing: there are no other ranks.</summary>
    public override void Abort(Exception cause, int exitCode) { }

    private protected override void Close() { }

    private protected override Pending Start(CollectiveOperation operation)
    {
        if (operation.InputAddress != operation.OutputAddress)
        {
            using var noGradient = no_grad();
            operation.Output.copy_(operation.Input);
        }

        var time = Stopwatch.GetElapsedTime(operation.Started);
        Traffic.Add(operation.Call, WorldSize, operation.ElementSize, time, time);
        operation.Release();
        return Pending.Finished;
    }
}
