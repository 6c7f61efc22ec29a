using System.Text.Json;
using GlmTune.Weights;

namespace GlmTune.Cli.Commands;

public sealed class ForwardCommandTests
{
    private static readonly string Batch = GoldenData.Path("glm-tiny/batch.json");

    [Theory]
    [InlineData("model-hf", "base")]
    [InlineData("model-chatglm", "base")]
    [InlineData("adapter-lora", "lora")]
    [InlineData("adapter-lora_all", "lora_all")]
    [InlineData("adapter-lora_fused", "lora_fused")]
    [InlineData("adapter-lora_fused-chatglm", "lora_fused")]
    [InlineData("adapter-rslora", "rslora")]
    [InlineData("adapter-dora", "dora")]
    public async Task Logits_and_loss_are_those_of_the_reference(string folder, string tag)
    {
        using var temporary = new TemporaryFolder();
        var file = temporary.At("out.safetensors");
        var run = await Run.Of(
            "forward",
            GoldenData.Path($"glm-tiny/{folder}"),
            "--input",
            Batch,
            "--output",
            file,
            "--dtype",
            "float32",
            "--device",
            "cpu"
        );
        Assert.Equal((0, ""), (run.Code, run.Error));
        using var actual = SafetensorsFile.Open(file);
        using var expected = SafetensorsFile.Open(GoldenData.Path("glm-tiny/expected.safetensors"));
        Assert.Equal(["logits", "loss"], actual.Tensors.Select(tensor => tensor.Name).Order());
        Assert.Empty(actual["loss"].Shape);
        Assert.Equal(expected[$"{tag}.logits"].Shape, actual["logits"].Shape);
        var loss = Floats(expected[$"{tag}.loss"])[0];
        Assert.Equal(loss, Floats(actual["loss"])[0], 1e-5 * Math.Abs(loss));
        AssertClose(
            Floats(expected[$"{tag}.logits"]),
            Floats(actual["logits"]),
            Mask(),
            (int)actual["logits"].Shape[2]
        );
    }

    [Fact]
    public async Task Behind_a_prefix_the_logits_of_a_row_without_padding_are_those_of_the_reference()
    {
        using var temporary = new TemporaryFolder();
        var file = temporary.At("out.safetensors");
        Assert.Equal(
            0,
            (
                await Run.Of(
                    "forward",
                    GoldenData.Path("glm-tiny/adapter-prefix"),
                    "--input",
                    Batch,
                    "--output",
                    file,
                    "--device",
                    "cpu"
                )
            ).Code
        );
        using var actual = SafetensorsFile.Open(file);
        using var expected = SafetensorsFile.Open(GoldenData.Path("glm-tiny/expected.safetensors"));
        const int row = 20 * 640;
        AssertClose(Floats(expected["prefix.logits"])[..row], Floats(actual["logits"])[..row], Mask(), 640);
    }

    [Fact]
    public async Task Padding_may_be_on_either_side_or_absent()
    {
        using var temporary = new TemporaryFolder();
        int[] real = [431, 614, 176, 59, 297];
        var alone = await Logits(temporary, new { input_ids = new[] { real } });
        var left = await Logits(
            temporary,
            new
            {
                input_ids = new[] { (int[])[0, 0, .. real] },
                attention_mask = new[] { (int[])[0, 0, 1, 1, 1, 1, 1] },
            }
        );
        var right = await Logits(
            temporary,
            new
            {
                input_ids = new[] { (int[])[.. real, -1, 9999] },
                attention_mask = new[] { (int[])[1, 1, 1, 1, 1, 0, 0] },
            }
        );
        Assert.Equal(alone, left[1280..]);
        Assert.All(left[..1280], value => Assert.Equal(0, value));
        Assert.Equal(alone, right[..^1280]);
        Assert.All(right[^1280..], value => Assert.Equal(0, value));
    }

    [Fact]
    public async Task An_adapter_takes_the_base_that_is_given()
    {
        using var temporary = new TemporaryFolder();
        var moved = Directory.CreateDirectory(temporary.At("moved")).FullName;
        foreach (var file in Directory.GetFiles(GoldenData.Path("glm-tiny/adapter-lora")))
        {
            File.Copy(file, Path.Combine(moved, Path.GetFileName(file)));
        }

        string[] rest = ["--input", Batch, "--output", temporary.At("out.safetensors"), "--device", "cpu"];
        var lost = await Run.Of(["forward", moved, .. rest]);
        Assert.Equal(2, lost.Code);
        Assert.Contains("--base", lost.Error, StringComparison.Ordinal);
        Assert.False(File.Exists(temporary.At("out.safetensors")));
        Assert.Equal(
            0,
            (await Run.Of(["forward", moved, .. rest, "--base", GoldenData.Path("glm-tiny/model-hf")])).Code
        );
    }

    [Theory]
    [InlineData("[1, 2]", "found an array")]
    [InlineData("{}", "'input_ids' is missing")]
    [InlineData("""{"input_ids": [[1, 2], [3]]}""", "row 1 of 'input_ids' has length 1")]
    [InlineData("""{"input_ids": [[1, 640]]}""", "input_ids[0][1] is 640; expected 0 to 639")]
    [InlineData("""{"input_ids": [[1, 2]], "attention_mask": [[1, 2]]}""", "attention_mask[0][1] is 2")]
    [InlineData("""{"input_ids": [[1, 2]], "labels": [["a", 2]]}""", "'labels' is not a list")]
    [InlineData("{\"input_ids\":\n [[1, 2}", ", line 2, character")]
    public async Task A_batch_that_cannot_be_used_is_the_users_problem(string batch, string expected)
    {
        using var temporary = new TemporaryFolder();
        var run = await Run.Of(
            "forward",
            GoldenData.Path("glm-tiny/model-hf"),
            "--input",
            temporary.Write("batch.json", batch),
            "--output",
            temporary.At("out")
        );
        Assert.Equal(2, run.Code);
        Assert.Contains(expected, run.Error, StringComparison.Ordinal);
    }

    private static async Task<float[]> Logits(TemporaryFolder temporary, object batch)
    {
        var file = temporary.At("out.safetensors");
        var run = await Run.Of(
            "forward",
            GoldenData.Path("glm-tiny/model-hf"),
            "--input",
            temporary.Write("batch.json", JsonSerializer.Serialize(batch)),
            "--output",
            file,
            "--device",
            "cpu"
        );
        Assert.Equal((0, ""), (run.Code, run.Error));
        using var actual = SafetensorsFile.Open(file);
        Assert.Null(actual.Find("loss"));
        return Floats(actual["logits"]);
    }

    private static float[] Floats(StoredTensor tensor) =>
        System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(tensor.Bytes).ToArray();

    private static int[] Mask()
    {
        using var batch = JsonDocument.Parse(File.ReadAllBytes(Batch));
        return
        [
            .. batch
                .RootElement.GetProperty("attention_mask")
                .EnumerateArray()
                .SelectMany(row => row.EnumerateArray())
                .Select(value => value.GetInt32()),
        ];
    }

    // Relative to all logits, and to the largest: these adapters enlarge the rounding of float32, which golden values
    // have too, about a hundredfold.
    private static void AssertClose(float[] expected, float[] actual, int[] mask, int vocabulary)
    {
        var real = Enumerable.Range(0, expected.Length).Where(i => mask[i / vocabulary] == 1).ToList();
        var apart = Math.Sqrt(
            real.Sum(i => Math.Pow(actual[i] - expected[i], 2)) / real.Sum(i => Math.Pow(expected[i], 2))
        );
        Assert.InRange(apart, 0, 1e-5);
        Assert.InRange(
            real.Max(i => Math.Abs(actual[i] - expected[i])) / real.Max(i => Math.Abs(expected[i])),
            0,
            2e-5
        );
        Assert.All(Enumerable.Range(0, expected.Length).Except(real), i => Assert.Equal(0, actual[i]));
    }
}
