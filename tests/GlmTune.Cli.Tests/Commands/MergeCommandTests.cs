using GlmTune.Weights;

namespace GlmTune.Cli.Commands;

public sealed class MergeCommandTests
{
    [Theory]
    [InlineData("adapter-lora_all", "original")]
    [InlineData("adapter-dora", "hf")]
    [InlineData("adapter-lora_fused-chatglm", null)]
    public async Task A_merged_model_gives_the_loss_that_the_reference_has_with_the_adapter(
        string adapter,
        string? layout
    )
    {
        using var temporary = new TemporaryFolder();
        var merged = temporary.At("merged");
        string[] rest = layout is null ? [] : ["--layout", layout];
        var run = await Run.Of(["merge", GoldenData.Path($"glm-tiny/{adapter}"), merged, "--device", "cpu", .. rest]);
        Assert.Equal((0, ""), (run.Code, run.Error));
        Assert.Contains("of their norm", run.Output, StringComparison.Ordinal);
        using (var weights = WeightFiles.Open(merged))
        {
            Assert.Equal(layout != "hf", weights.Find("transformer.output_layer.weight") is not null);
        }

        var file = temporary.At("out.safetensors");
        await Run.Of(
            "forward",
            merged,
            "--input",
            GoldenData.Path("glm-tiny/batch.json"),
            "--output",
            file,
            "--dtype",
            "float32",
            "--device",
            "cpu"
        );
        using var actual = SafetensorsFile.Open(file);
        using var expected = SafetensorsFile.Open(GoldenData.Path("glm-tiny/expected.safetensors"));
        var tag = adapter["adapter-".Length..].Replace("-chatglm", "", StringComparison.Ordinal);
        Assert.Equal(Number(expected[$"{tag}.loss"]), Number(actual["loss"]), 1e-4);
    }

    [Fact]
    public async Task A_prefix_is_refused_with_the_reason()
    {
        using var temporary = new TemporaryFolder();
        var run = await Run.Of(
            "merge",
            GoldenData.Path("glm-tiny/adapter-prefix"),
            temporary.At("merged"),
            "--device",
            "cpu"
        );
        Assert.Equal(2, run.Code);
        Assert.Contains("a prefix cannot be merged", run.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(temporary.At("merged")));
    }

    private static float Number(StoredTensor stored) =>
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(stored.Bytes)[0];
}
