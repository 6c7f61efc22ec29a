using System.Security.Cryptography;
using GlmTune.Files;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Exporting;
using GlmTune.Recipes.Models;
using GlmTune.Testing.Disks;
using GlmTune.Weights.Gguf;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Tests;

/// <summary>Single disk operations of what writes models go wrong. What is written is there whole, with the bytes of an
/// undisturbed one, or it is not there.</summary>
/// <remarks>By default a sample of the operations; with GLMTUNE_DISK_FAULTS, every one of them.</remarks>
public sealed class ExportDiskFaultTests : IDisposable
{
    private readonly MemoryFolder memory = new();
    private readonly TinyRun tiny;

    public ExportDiskFaultTests()
    {
        tiny = new TinyRun(Directory.CreateDirectory(memory.At("tiny")).FullName);
        Directory.CreateDirectory(tiny.At("out"));
    }

    public void Dispose()
    {
        tiny.Dispose();
        memory.Dispose();
    }

    [Theory]
    [InlineData("merge")]
    [InlineData("consolidate")]
    [InlineData("gguf")]
    [InlineData("gguf-adapter")]
    [InlineData("ollama")]
    [InlineData("fp8")]
    [InlineData("init")]
    public void A_model_is_written_whole_or_not_at_all(string kind)
    {
        var isAdapter = kind is not ("consolidate" or "init");
        tiny.Train(
            tiny.Recipe(
                "run",
                null,
                "training_args.max_steps=1",
                isAdapter ? "peft_config={ peft_type: LORA, r: 4 }" : "training_args.save_only_model=false"
            )
        );
        var source = Path.TrimEndingDirectorySeparator(tiny.Checkpoint("run", 1));
        Export(kind, source, tiny.At("expected"));
        var expected = ContentOf(tiny.At("expected"));
        var random = new Random(DiskSeed.Value);
        foreach (var fault in DiskFaults.All)
        {
            var count = Attempt(fault, int.MaxValue).Count;
            foreach (var n in DiskSeed.IsLong || count == 0 ? Enumerable.Range(0, count) : [random.Next(count)])
            {
                Attempt(fault, n);
            }

            TestContext.Current.TestOutputHelper?.WriteLine(
                $"{kind}, {fault}: {count} operations, seed {DiskSeed.Value}"
            );
        }

        FaultyDisk Attempt(DiskFault fault, int n)
        {
            Directory.Delete(tiny.At("out"), recursive: true);
            Directory.CreateDirectory(tiny.At("out"));
            var target = tiny.At("out", "model");
            var disk = new FaultyDisk(tiny.At("out"), fault, n, DiskSeed.Value + n);
            var error = disk.Try(() => Export(kind, source, target));
            var about = $"{kind}, {fault}, operation {n} ({disk.Failed}), seed {DiskSeed.Value}: {error}";
            Assert.True(error is ProcessEndedException == (fault.Ends() && disk.Failed is not null), about);
            if (error is not null and not ProcessEndedException)
            {
                Assert.True(error is IOException or UnauthorizedAccessException or InvalidDataException, about);
                Assert.Contains(tiny.At("out"), error.Message, StringComparison.Ordinal);
            }

            Assert.True(error is not null || Path.Exists(target), about);
            if (Path.Exists(target))
            {
                Assert.True(expected == ContentOf(target, about), about);
                return disk;
            }

            Export(kind, source, target);
            Assert.True(expected == ContentOf(target, about), about);
            return disk;
        }
    }

    private void Export(string kind, string source, string target)
    {
        switch (kind)
        {
            case "merge":
                MergeAdapter.Run(TunedPath.Resolve(source, tiny.Model), target, null, null, CPU);
                break;
            case "consolidate":
                ConsolidateCheckpoint.Run(source, target, null, null);
                break;
            case "gguf":
                using (var export = GgufExport.Plan(TunedChatFiles.Read(source), GgufFileType.F32, null))
                {
                    export.Write(target);
                }

                break;
            case "gguf-adapter":
                GgufAdapterExport.Run(TunedPath.Resolve(source, tiny.Model), target, GgufType.F32, null);
                break;
            case "ollama":
                OllamaExport.Run(TunedChatFiles.Read(source), target, GgufFileType.F32);
                break;
            case "fp8":
                using (
                    var export = QuantizedExport.Plan(
                        TunedPath.Resolve(source, tiny.Model),
                        ExportedQuantization.Fp8,
                        null
                    )
                )
                {
                    export.Write(target);
                }

                break;
            default:
                InitializeModel.Run(target, tiny.Model, null, 7, ScalarType.Float32, CPU);
                break;
        }
    }

    // Names and bytes, in one text; a folder must also agree with its manifest.
    private static string ContentOf(string path, string about = "")
    {
        if (File.Exists(path))
        {
            return HashOf(path);
        }

        var problems = FolderManifest.FindProblems(path);
        Assert.True(problems.Count == 0, $"{about} {string.Join("; ", problems)}");
        return string.Join(
            '\n',
            Directory
                .GetFiles(path, "*", SearchOption.AllDirectories)
                .Order(StringComparer.Ordinal)
                .Select(file => $"{Path.GetRelativePath(path, file)} {HashOf(file)}")
        );
    }

    private static string HashOf(string file) => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file)));
}
