using System.Diagnostics;
using static TorchSharp.torch;

namespace GlmTune.Collectives;

/// <summary>A world of one: the same calls without communication; nothing is copied if input and output are the same
/// memory.</summary>
public sealed class SingleRank : Backend
{
    /// <summary>The only rank, with tensors on <paramref name="device"/>; the CPU by default.</summary>
    public SingleRank(Device? device = null)
        : base(0, 1, device ?? CPU, new CollectivesOptions()) { }

    /// <summary>Does nothing: there are no other ranks.</summary>
    public override void Abort(Exception cause, int exitCode) { }

    private protected override void Close() { }

    private protected override Pending Start(Transfer transfer)
    {
        if (transfer.InputAddress != transfer.OutputAddress)
        {
            using var noGradient = no_grad();
            transfer.Output.copy_(transfer.Input);
        }

        var time = Stopwatch.GetElapsedTime(transfer.Started);
        Traffic.Add(transfer.Call, WorldSize, transfer.ElementSize, time, time);
        transfer.Release();
        return Pending.Finished;
    }
}
