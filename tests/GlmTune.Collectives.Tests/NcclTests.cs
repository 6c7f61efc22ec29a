using System.Runtime.CompilerServices;
using GlmTune.Collectives.Native;
using GlmTune.Kernels.Native;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Collectives.Tests;

public class NcclTests
{
    static NcclTests() => NativeRuntime.Load();

    [Fact]
    public void A_world_of_one_passes_the_cases_on_a_gpu()
    {
        Assert.SkipUnless(NativeRuntime.Load().Cuda && cuda.is_available(), "No NVIDIA GPU.");
        using var log = new StringWriter();
        Assert.True(NcclSelfTest.Run(log), log.ToString());
    }

    [Theory, InlineData(1), InlineData(3)]
    public void The_self_test_finds_right_results_right(int worldSize)
    {
        using var log = new StringWriter();
        Assert.All(
            InProcess.Run(worldSize, ranks => NcclSelfTest.Run(ranks, log, [1], matrixSize: 64, "threads")),
            Assert.True
        );
        Assert.Contains($"threads, {worldSize} ranks: results correct", log.ToString());
        Assert.Contains("AllGather of 1 MiB bfloat16", log.ToString());
    }

    [Fact]
    public void The_unique_id_is_128_bytes_as_nccl_passes_it()
    {
        Assert.Equal(128, Unsafe.SizeOf<NcclUniqueId>());
        var id = default(NcclUniqueId);
        NcclUniqueId.AsBytes(ref id)[127] = 5;
        Assert.Equal(5, NcclUniqueId.AsBytes(ref id)[127]);
    }

    [Fact]
    public void The_library_beside_the_libtorch_in_use_is_tried_before_the_systems()
    {
        Assert.Equal(
            [
                "/venv/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2",
                "/venv/lib/python3.12/site-packages/torch/lib/libnccl.so.2",
                "libnccl.so.2",
            ],
            NcclLibrary.Candidates("/venv/lib/python3.12/site-packages/torch/lib", _ => null)
        );
        Assert.Equal(
            ["/opt/libnccl.so.2"],
            NcclLibrary.Candidates("/any", name => name == "GLMTUNE_NCCL" ? "/opt/libnccl.so.2" : null)
        );
    }
}
