using System.Text.Json.Nodes;
using GlmTune.Model;
using GlmTune.Model.Glm4;

namespace GlmTune.Cli.Tests.Commands;

public sealed class PlanCommandTests : IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly string model;

    public PlanCommandTests()
    {
        model = Path.Combine(folder.Path, "config-alone");
        Directory.CreateDirectory(model);
        File.WriteAllText(
            Path.Combine(model, "config.json"),
            Glm4Config.Glm4_9B.ToJson(CheckpointLayout.Original, "bfloat16").ToJsonString()
        );
    }

    public void Dispose() => folder.Dispose();

    [Fact]
    public async Task A_run_that_fits_is_0_with_every_part()
    {
        var run = await Plan("lora.yaml", "--gpu-memory", "24GiB");
        Assert.True(run.Code == 0, run.Output + run.Error);
        Assert.Contains("weights (bfloat16)", run.Output, StringComparison.Ordinal);
        Assert.Contains("logits", run.Output, StringComparison.Ordinal);
        Assert.Contains("It fits, and leaves ", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_that_does_not_is_2_with_what_makes_it_fit()
    {
        var run = await Plan(
            "lora.yaml",
            "--gpu-memory",
            "24GiB",
            "--set",
            "training_args.gradient_checkpointing=false",
            "--set",
            "training_args.pack_length=16384"
        );
        Assert.Equal(2, run.Code);
        Assert.Contains("It does not fit: ", run.Output, StringComparison.Ordinal);
        Assert.Contains("training_args.gradient_checkpointing: auto", run.Output, StringComparison.Ordinal);
        run = await Plan(
            "lora.yaml",
            "--gpu-memory",
            "24GiB",
            "--fit",
            "--set",
            "training_args.gradient_checkpointing=false",
            "--set",
            "training_args.pack_length=16384"
        );
        Assert.Equal(0, run.Code);
        Assert.Contains("fit: training_args.gradient_checkpointing: auto", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task As_JSON_it_has_bytes()
    {
        var run = await Plan("sft.yaml", "--gpu-memory", "80GB", "--gpus", "8", "--json");
        var json = JsonNode.Parse(run.Output)!;
        Assert.Equal(run.Code == 0, json["fits"]!.GetValue<bool>());
        Assert.Equal(80_000_000_000, json["gpu_memory"]!.GetValue<long>());
        Assert.Equal(8, json["gpus"]!.GetValue<int>());
        Assert.Equal(
            json["device_bytes"]!.GetValue<long>(),
            json["device"]!.AsArray().Sum(part => part!["bytes"]!.GetValue<long>())
        );
        var one = JsonNode.Parse((await Plan("sft.yaml", "--gpu-memory", "80GB", "--json")).Output)!;
        Assert.False(one["fits"]!.GetValue<bool>());
        Assert.NotEmpty(one["changes"]!.AsArray());
        Assert.NotEmpty(one["other_ways"]!.AsArray());
    }

    [Theory]
    [InlineData("--gpu-memory", "much")]
    [InlineData("--gpu-memory", "24", "GiB")]
    [InlineData("--gpus", "0")]
    public async Task A_wrong_size_is_told(params string[] arguments)
    {
        var run = await Plan("lora.yaml", arguments);
        Assert.Equal(2, run.Code);
        Assert.NotEmpty(run.Error);
        Assert.DoesNotContain("   at ", run.Error, StringComparison.Ordinal);
    }

    private Task<Run> Plan(string config, params string[] more) =>
        Run.Of(["plan", model, Run.InRepository(Path.Combine("configs", config)), .. more]);
}
