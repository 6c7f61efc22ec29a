using System.Text.Json;

namespace GlmTune.Cli.Commands;

public sealed class ModelCommandTests
{
    [Theory]
    [InlineData("model-hf", "hf")]
    [InlineData("model-chatglm", "original")]
    public async Task Info_counts_what_the_files_hold(string folder, string layout)
    {
        var info = await Info(GoldenData.Path($"glm-tiny/{folder}"));
        Assert.Equal(layout, info.GetProperty("layout").GetString());
        Assert.Equal(3, info.GetProperty("layer_count").GetInt32());
        Assert.Equal(
            info.GetProperty("parameters").GetInt64(),
            info.GetProperty("weights").GetProperty("parameters").GetInt64()
        );
        Assert.Equal(
            4 * info.GetProperty("parameters").GetInt64(),
            info.GetProperty("weights").GetProperty("bytes").GetInt64()
        );
        Assert.Equal(JsonValueKind.Null, info.GetProperty("adapter").ValueKind);
    }

    [Fact]
    public async Task A_quantized_model_says_how_and_what_is_missing_of_it()
    {
        using var folder = new TemporaryFolder();
        var nf4 = folder.At("nf4");
        QuantizedFolder.WriteBitsAndBytes(Run.InRepository("models/glm-nano"), nf4);
        var run = await Run.Of("model", "info", nf4);
        Assert.Equal(0, run.Code);
        Assert.Contains("quantized by bitsandbytes nf4, 4.13 bits a weight", run.Output);
        Assert.Contains("weights: 3,150,144 parameters in", run.Output);
        Assert.Equal(0, (await Run.Of("chat", nf4, "--prompt", "你好", "--device", "cpu")).Code);
        var again = await Run.Of("chat", nf4, "--prompt", "你好", "--device", "cpu", "--quantization", "int8");
        Assert.Equal(2, again.Code);
        Assert.Contains("already quantized (bitsandbytes nf4), so they cannot be quantized to int8", again.Error);
        Assert.Equal(0, (await Run.Of("export", "gguf", nf4, folder.At("nf4.gguf"))).Code);
    }

    [Fact]
    public async Task Info_of_an_adapter_counts_what_it_trains()
    {
        var info = await Info(GoldenData.Path("glm-tiny/adapter-lora"));
        var adapter = info.GetProperty("adapter");

        // 3 layers; rank 4; q: 64 to 64, k and v: 64 to 16 each.
        Assert.Equal(3 * 4 * ((64 + 64) + (2 * (64 + 16))), adapter.GetProperty("trainable_parameters").GetInt64());
        Assert.Equal(("LORA", 4), (adapter.GetProperty("kind").GetString(), adapter.GetProperty("rank").GetInt32()));
        Assert.EndsWith("model-hf", info.GetProperty("folder").GetString(), StringComparison.Ordinal);
        var text = await Run.Of("model", "info", GoldenData.Path("glm-tiny/adapter-lora"));
        Assert.Contains("rank 4, alpha 16", text.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Init_makes_a_model_of_the_same_shape_whose_numbers_the_seed_decides()
    {
        using var folder = new TemporaryFolder();
        var like = Run.InRepository("models/glm-nano");
        foreach (var (name, seed) in ((string, string)[])[("a", "7"), ("b", "7"), ("c", "8")])
        {
            Assert.Equal(
                0,
                (
                    await Run.Of(
                        "model",
                        "init",
                        folder.At(name),
                        "--like",
                        like,
                        "--seed",
                        seed,
                        "--dtype",
                        "float32",
                        "--layout",
                        "hf",
                        "--device",
                        "cpu"
                    )
                ).Code
            );
        }

        byte[] Weights(string name) => File.ReadAllBytes(Path.Combine(folder.At(name), "model.safetensors"));
        Assert.Equal(Weights("a"), Weights("b"));
        Assert.NotEqual(Weights("a"), Weights("c"));
        var info = await Info(folder.At("a"));
        Assert.Equal("hf", info.GetProperty("layout").GetString());
        Assert.True(info.GetProperty("has_tokenizer").GetBoolean());
        Assert.Equal(
            (await Info(like)).GetProperty("parameters").GetInt64(),
            info.GetProperty("weights").GetProperty("parameters").GetInt64()
        );
        Assert.Equal(2, (await Run.Of("model", "init", folder.At("a"), "--like", like)).Code);
    }

    [Fact]
    public async Task What_is_neither_model_nor_adapter_is_the_users_problem()
    {
        using var folder = new TemporaryFolder();
        var run = await Run.Of("model", "info", folder.Path);
        Assert.Equal(2, run.Code);
        Assert.Contains("neither a model", run.Error, StringComparison.Ordinal);
    }

    private static async Task<JsonElement> Info(string folder)
    {
        var run = await Run.Of("model", "info", folder, "--json");
        Assert.Equal((0, ""), (run.Code, run.Error));
        return JsonDocument.Parse(run.Output).RootElement;
    }
}
