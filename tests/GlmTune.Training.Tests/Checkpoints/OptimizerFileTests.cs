using GlmTune.Kernels.Native;
using GlmTune.Training.Checkpoints;
using GlmTune.Training.Sharding;
using GlmTune.Training.Tests.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Checkpoints;

public sealed class OptimizerFileTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("glmtune-optimizer-").FullName;

    static OptimizerFileTests() => NativeRuntime.Load();

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Where_one_rank_s_file_is_damaged_no_other_stays_open()
    {
        using var model = RankedRun.Model("lora", ScalarType.Float32, out var adapter);
        using (adapter)
        {
            using var sharding = DataParallel.For(new ShardingOptions(), model);
            OptimizerFile.Write(folder, sharding.Trainable);
            File.WriteAllText(Path.Combine(folder, "optimizer-00001-of-00002.safetensors"), "no such file");
            var error = Assert.Throws<InvalidDataException>(() => OptimizerFile.Read(folder, sharding.Trainable));
            Assert.Contains("optimizer-00001-of-00002.safetensors", error.Message, StringComparison.Ordinal);
        }

        if (OperatingSystem.IsLinux())
        {
            Assert.DoesNotContain(folder, File.ReadAllText("/proc/self/maps"), StringComparison.Ordinal);
        }
    }
}
