using System.Runtime.InteropServices;
using GlmTune.Kernels.Dispatch;
using GlmTune.Kernels.Memory;
using GlmTune.Kernels.Native;
using Xunit;
using static TorchSharp.torch;

namespace GlmTune.Kernels.Tests.Native;

/// <summary>An operator that cannot get its memory throws; it never ends the process.</summary>
public sealed class FailedAllocationTests
{
    // 2^30 × 2^30 float32: more than any machine addresses, so that no setting of the system lets it through.
    private const long Side = 1L << 30;

    private static readonly AtenOperator Outer = new("aten::outer(Tensor self, Tensor vec2) -> Tensor");

    public static TheoryData<string> Operators => [.. Calls.Keys];

    private static Dictionary<string, Func<Tensor, Tensor>> Calls =>
        new()
        {
            ["mm"] = one => one.expand(Side, 1).mm(one.expand(1, Side)),
            ["bmm"] = one => one.expand(1, Side, 1).bmm(one.expand(1, 1, Side)),
            ["addmm"] = one => addmm(one, one.expand(Side, 1), one.expand(1, Side), 1, 1),
            ["add"] = one => one.expand(Side, 1).Add(one.expand(1, Side)),
            ["mul"] = one => one.expand(Side, 1).mul(one.expand(1, Side)),
            ["cat"] = one => cat([one.expand(Side, Side / 2), one.expand(Side, Side / 2)]),
            ["contiguous"] = one => one.expand(Side, Side).contiguous(),
            ["empty"] = _ => empty(Side, Side),
            ["zeros"] = _ => zeros(Side, Side),
            ["Full"] = _ => TensorCreation.Full([Side, Side], 1),
            ["outer through the C interface"] = one => Outer.Call(one[0].expand(Side), one[0].expand(Side)),
        };

    [Theory]
    [MemberData(nameof(Operators))]
    public void An_operator_without_memory_throws(string name)
    {
        NativeRuntime.Load();
        using var scope = NewDisposeScope();
        var error = Record.Exception(() => Calls[name](ones(1, 1)));
        Assert.True(error is ExternalException or AtenException, $"{error}");
        Assert.True(AllocationFailure.Find(error) is { Where: "the host" }, $"{error}");
        Assert.InRange(AllocationFailure.Find(error)!.Requested!.Value, 1L << 62, long.MaxValue);
    }
}
