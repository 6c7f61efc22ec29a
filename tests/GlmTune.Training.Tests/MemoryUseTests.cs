using GlmTune.Collectives;
using GlmTune.Data.Batching;
using GlmTune.Kernels.Native;
using GlmTune.Model.Layers;
using GlmTune.Testing;
using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;
using GlmTune.Training.Tests.Sharding;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests;

/// <summary>What a step reports about memory, beside numbers computed by hand.</summary>
public sealed class MemoryUseTests
{
    private const int Float = 4;

    static MemoryUseTests() => NativeRuntime.Load();

    [Theory, InlineData("lora"), InlineData("full")]
    public void Parts_are_those_of_the_parameters(string kind)
    {
        var (use, parameters, trained) = Step(kind, recomputed: 0);
        Assert.Equal(Float * parameters, use.Weights);
        Assert.Equal(kind == "lora" ? Float * trained : 0, use.Adapter);
        Assert.Equal(Float * trained, use.Gradients);
        Assert.Equal(3 * Float * trained, use.Optimizer);
        Assert.Equal(use.Weights + use.Adapter + use.Gradients + use.Optimizer + use.Activations, use.Total);
    }

    [Fact]
    public void Activations_are_the_inputs_where_layers_are_recomputed()
    {
        var whole = Step("lora", recomputed: 0).Use.Activations;
        var inputs = Step("lora", recomputed: 2).Use.Activations;
        var tokens = RankedRun.Batch(0).TokenIds.Length;
        Assert.Equal(2L * tokens * RankedRun.Tiny.HiddenSize * Float, inputs);
        Assert.True(whole > 4 * inputs, $"{whole} and {inputs} bytes");
        // Both are still on the device when the forward pass ends: as many as there are buffers.
        Assert.Equal(inputs, Step("lora", recomputed: 2, offloads: true).Use.Activations);
    }

    [Fact]
    public void Ranks_hold_their_share_of_the_optimizer_state()
    {
        var alone = Step("full", recomputed: 0).Use;
        var shared = InProcess.Run(2, ranks => Step("full", recomputed: 0, ranks: ranks).Use);
        Assert.All(shared, use => Assert.InRange(use.Optimizer, alone.Optimizer / 2, (alone.Optimizer / 2) + 1024));
        Assert.All(shared, use => Assert.Equal(alone.Weights, use.Weights));
    }

    [Fact]
    public void The_parts_have_names_in_logs_and_the_rest_is_what_is_in_use_beyond_them()
    {
        const long Gibibyte = 1L << 30;
        var use = new MemoryUse(4 * Gibibyte, Gibibyte, Gibibyte, 2 * Gibibyte, Gibibyte / 2);
        var values = use.Values(10 * Gibibyte).ToDictionary();
        Assert.Equal((4, 1, 1, 2, 0.5, 1.5), Named(values));
        Assert.DoesNotContain("memory_other_gib", use.Values(null).Select(value => value.Key));
        Assert.Equal(0, use.Values(Gibibyte).ToDictionary()["memory_other_gib"]);
    }

    private static (double, double, double, double, double, double) Named(Dictionary<string, double> values) =>
        (
            values["memory_weights_gib"],
            values["memory_adapter_gib"],
            values["memory_gradients_gib"],
            values["memory_optimizer_gib"],
            values["memory_activations_gib"],
            values["memory_other_gib"]
        );

    private static (MemoryUse Use, long Parameters, long Trained) Step(
        string kind,
        int recomputed,
        bool offloads = false,
        ICollectives? ranks = null
    )
    {
        using var model = RankedRun.Model(kind, ScalarType.Float32, out var adapter);
        using var owned = adapter;
        using var sharding = DataParallel.For(new ShardingOptions { Stage = ranks is null ? 0 : 1 }, model, ranks);
        using var onHost = offloads ? new OffloadedInputs(CPU) : null;
        using var trainer = new Trainer(
            new LayerRunner(model, sharding, recomputed) { OffloadedInputs = onHost },
            sharding,
            new OptimizerOptions(),
            new LearningRateSchedule(1e-3, new ScheduleOptions(), 10),
            seed: 1
        );
        var batch = RankedRun.Batch(0);
        var worldSize = ranks?.WorldSize ?? 1;
        var report = trainer.Step(new StepBatches([batch], worldSize * batch.SupervisedTokens, 1, default, 0));
        return (
            report.Memory!,
            model.BaseParameters.Sum(parameter => parameter.Count),
            model.Parameters.Where(parameter => parameter.Trainable).Sum(parameter => parameter.Count)
        );
    }
}
