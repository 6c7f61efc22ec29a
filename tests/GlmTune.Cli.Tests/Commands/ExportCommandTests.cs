using GlmTune.Model;
using GlmTune.Model.Adapters;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Cli.Commands;

public sealed class ExportCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_file_is_written_and_types_that_did_not_fit_are_named()
    {
        var run = await Export("gguf", Nano, folder.At("nano.gguf"), "--type", "q4_k_m");
        Assert.Equal(0, run.Code);
        Assert.Contains("nano.gguf: 2.4 MB, tensors: 19 F32, 17 Q5_0, 4 Q4_K, 3 Q8_0, 2 Q6_K", run.Output);
        Assert.Contains(
            "note: matrices with rows of 192 values are Q5_0 instead of Q4_K, whose blocks have 256 values: 17 of 26",
            run.Error
        );
        Assert.Equal("GGUF"u8, File.ReadAllBytes(folder.At("nano.gguf")).AsSpan(0, 4));
        Assert.Single(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public async Task A_folder_for_Ollama_has_the_model_and_what_it_needs()
    {
        var run = await Export("ollama", Nano, folder.At("out"));
        Assert.Equal(0, run.Code);
        Assert.Contains($"ollama create NAME -f {folder.At("out", "Modelfile")}", run.Output);
        Assert.True(File.Exists(folder.At("out", "model.gguf")));
        var text = await File.ReadAllTextAsync(folder.At("out", "Modelfile"), TestContext.Current.CancellationToken);
        Assert.StartsWith("FROM ./model.gguf\n", text, StringComparison.Ordinal);
        Assert.EndsWith(
            """
            PARAMETER stop "<|endoftext|>"
            PARAMETER stop "<|user|>"
            PARAMETER stop "<|observation|>"
            PARAMETER num_ctx 2048
            PARAMETER temperature 0.8
            PARAMETER top_p 0.8

            """,
            text,
            StringComparison.Ordinal
        );
        var again = await Export("ollama", Nano, folder.At("out"));
        Assert.Equal(2, again.Code);
        Assert.Contains("already exists", again.Error);
    }

    [Theory]
    [InlineData("fp8", "4 MB of weights", "")]
    [InlineData("int4", "2.8 MB of weights", "note: groups have 64 values instead of 128")]
    public async Task A_quantized_folder_is_written_once(string form, string size, string note)
    {
        var run = await Export(form, Nano, folder.At("out"));
        Assert.Equal(0, run.Code);
        Assert.Contains(size, run.Output);
        Assert.Contains(note, run.Error);
        Assert.True(File.Exists(folder.At("out", "tokenizer.json")));
        Assert.Single(Directory.EnumerateFileSystemEntries(folder.Path));
        var again = await Export(form, Nano, folder.At("out"));
        Assert.Equal(2, again.Code);
        Assert.Contains("already exists", again.Error);
    }

    [Fact]
    public async Task A_prefix_and_a_folder_in_the_way_are_reported_together()
    {
        Directory.CreateDirectory(folder.At("out"));
        var run = await Export("fp8", GoldenData.Path("glm-tiny/adapter-prefix"), folder.At("out"));
        Assert.Equal(2, run.Code);
        Assert.Contains("a prefix cannot be merged", run.Error);
        Assert.Contains("already exists", run.Error);
    }

    [Theory]
    [InlineData("adapter-prefix", "a prefix cannot be merged")]
    [InlineData("adapter-prefix --adapter-only", "a prefix cannot be written as GGUF")]
    [InlineData("adapter-dora --adapter-only", "DoRA scales the base model's rows (use_dora)")]
    [InlineData("adapter-lora --adapter-only --type q8_0", "an adapter is small and is not quantized")]
    [InlineData("model-hf --adapter-only", "is a model, not an adapter")]
    [InlineData("model-hf", "no tokenizer.model and no tokenizer.json")]
    public async Task What_cannot_be_written_is_refused_with_the_reason(string arguments, string reason)
    {
        var words = arguments.Split(' ');
        var run = await Export(["gguf", GoldenData.Path($"glm-tiny/{words[0]}"), folder.At("x.gguf"), .. words[1..]]);
        Assert.Equal(2, run.Code);
        Assert.Contains(reason, run.Error);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
    }

    [Fact]
    public async Task An_adapter_that_replaces_modules_or_changes_a_tied_head_is_not_written_alone()
    {
        var tied = await Adapter("edge-tiny", new LoraOptions { TargetModules = LoraTargets.FromNames("lm_head") });
        Assert.Equal(2, tied.Code);
        Assert.Contains("which is the embedding too", tied.Error);
        var modules = await Adapter("glm4-tiny", new LoraOptions { ModulesToSave = ["norm"] });
        Assert.Equal(2, modules.Code);
        Assert.Contains("it replaces whole modules (modules_to_save: norm)", modules.Error);
    }

    [Fact]
    public async Task Weights_that_do_not_fit_into_the_type_are_refused_and_nothing_is_left()
    {
        using var model = ModelCopy.OfNano();
        using (var weights = ModelFolder.Load(model.Path, ScalarType.Float32, CPU))
        {
            weights.Layers[2].FeedForward.Down.Weight.Value[0, 0] = 1e6f;
            ModelFolder.Save(weights, model.Path, CheckpointLayout.Original, ScalarType.Float32);
        }

        var run = await Export("gguf", model.Path, folder.At("x.gguf"), "--type", "f16");
        Assert.Equal(2, run.Code);
        Assert.Contains("has values up to 1E+06, which F16 cannot hold", run.Error);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder.Path));
        Assert.Equal(0, (await Export("gguf", model.Path, folder.At("x.gguf"), "--type", "bf16")).Code);
    }

    [Fact]
    public async Task A_shape_that_llama_cpp_does_not_have_is_named()
    {
        using var model = ModelCopy.OfNano();
        model.Edit("config.json", json => json["kv_channels"] = 16);
        await Run.Of("model", "init", folder.At("model"), "--like", model.Path, "--device", "cpu");
        var run = await Export("gguf", folder.At("model"), folder.At("x.gguf"));
        Assert.Equal(2, run.Code);
        Assert.Contains("6 query heads of 16 are 96 features, but the hidden size is 192", run.Error);
    }

    private static string Nano => Run.InRepository("models/glm-nano");

    private static Task<Run> Export(params string[] arguments) => Run.Of(["export", .. arguments]);

    private async Task<Run> Adapter(string golden, LoraOptions options)
    {
        var adapter = folder.At($"adapter-{golden}");
        Directory.CreateDirectory(adapter);
        using (var model = ModelFolder.Load(GoldenData.Path($"{golden}/model-hf"), ScalarType.Float32, CPU))
        using (var lora = Lora.Attach(model, options))
        {
            lora.Initialize(1);
            lora.Save(adapter, GoldenData.Path($"{golden}/model-hf"));
        }

        return await Export("gguf", adapter, folder.At("x.gguf"), "--adapter-only");
    }
}
