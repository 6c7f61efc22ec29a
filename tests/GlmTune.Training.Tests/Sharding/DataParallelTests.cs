using GlmTune.Collectives;
using GlmTune.Kernels;
using GlmTune.Kernels.Definitions;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Training.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Training.Tests.Sharding;

/// <summary>Any number of ranks, at any stage, trains what one rank trains.</summary>
public class DataParallelTests
{
    // Small buckets and limits, so that every path with several pieces is taken.
    private static readonly ShardingOptions Small = new()
    {
        ReduceBucketElements = 1000,
        AllGatherBucketElements = 700,
        PersistenceThreshold = 100,
        MaxReuseDistance = 0,
    };

    static DataParallelTests() => NativeRuntime.Load();

    public static TheoryData<string, int, int, int> Cases()
    {
        var cases = new TheoryData<string, int, int, int>();
        foreach (var kind in new[] { "full", "lora", "prefix", "encoder" })
        {
            foreach (var worldSize in new[] { 1, 2, 4 })
            {
                foreach (var stage in new[] { 0, 1, 2, 3 })
                {
                    cases.Add(kind, worldSize, stage, 1);
                    cases.Add(kind, worldSize, stage, 2);
                }
            }
        }

        return cases;
    }

    [Theory, MemberData(nameof(Cases))]
    public void Ranks_give_one_rank_s_losses_norms_and_weights(
        string kind,
        int worldSize,
        int stage,
        int accumulation
    ) =>
        RankedRun
            .Of(kind, worldSize, Small with { Stage = stage }, worldSize * accumulation)
            .ShouldBe(RankedRun.Alone(kind, worldSize * accumulation), 1e-9);

    [Theory]
    [InlineData("output norms", 0, 0), InlineData("output norms", 2, 0), InlineData("output norms", 3, 1)]
    [InlineData("tied head", 0, 0), InlineData("tied head", 1, 1), InlineData("tied head", 2, 0)]
    [InlineData("tied head", 3, 0), InlineData("tied head", 3, 1)]
    public void They_do_for_every_form_of_layer_and_head(string kind, int stage, int emptyBatches) =>
        RankedRun
            .Of(kind, 2, Small with { Stage = stage }, 4, emptyBatches: emptyBatches)
            .ShouldBe(RankedRun.Alone(kind, 4, emptyBatches: emptyBatches), 1e-9);

    [Theory]
    [
        InlineData("full", 2, 0),
        InlineData("full", 4, 2),
        InlineData("full", 2, 3),
        InlineData("lora", 4, 0),
        InlineData("lora", 2, 3),
        InlineData("prefix", 2, 3)
    ]
    public void They_do_in_float32_with_whole_buckets_and_nothing_overlapped(string kind, int worldSize, int stage) =>
        RankedRun
            .Of(
                kind,
                worldSize,
                new ShardingOptions { Stage = stage, OverlapCommunication = false },
                worldSize,
                ScalarType.Float32
            )
            .ShouldBe(RankedRun.Alone(kind, worldSize, ScalarType.Float32), 2e-3);

    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void A_rank_without_rows_takes_part(int stage) =>
        RankedRun
            .Of("full", 4, Small with { Stage = stage }, 4, emptyBatches: 1)
            .ShouldBe(RankedRun.Alone("full", 4, emptyBatches: 1), 1e-9);

    [Fact]
    public void Weights_of_which_only_some_are_trained_are_refused_and_nothing_is_left_in_memory()
    {
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        using (var model = new Glm4Model(RankedRun.Tiny, ScalarType.Float32, CPU, plain: true))
        {
            model.InitializeRandomly(1);
            foreach (var parameter in model.Embedding.Parameters)
            {
                parameter.Trainable = true;
            }

            using var ranks = new SingleRank();
            var slices = new WeightSlices(Small with { Stage = 3 }, ranks);
            foreach (var unit in model.Units)
            {
                slices.Take(unit);
            }

            model.Layers[1].Attention.Output.Weight.Trainable = true; // too late
            Assert.Throws<ArgumentException>(() => DataParallel.For(Small with { Stage = 3 }, model, ranks, slices));
        }

        Assert.Equal(live, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
    }

    [Fact]
    public void Stages_that_shard_add_in_the_same_order_and_give_the_same_bits()
    {
        RankedRun At(int stage, ShardingOptions options) =>
            RankedRun.Of("full", 2, options with { Stage = stage }, 2, ScalarType.Float32);
        var first = At(1, Small);
        foreach (
            var other in new[]
            {
                At(2, Small),
                At(3, Small),
                At(2, new ShardingOptions()),
                At(3, new ShardingOptions { PersistenceThreshold = 0 }),
            }
        )
        {
            other.ShouldBe(first, 0);
        }

        RankedRun
            .Of("full", 1, Small with { Stage = 3 }, 2, ScalarType.Float32)
            .ShouldBe(RankedRun.Alone("full", 2, ScalarType.Float32), 0);
    }

    [Theory]
    [
        InlineData("full", 2, 2, false),
        InlineData("full", 1, 3, false),
        InlineData("full", 4, 3, false),
        InlineData("full", 2, 3, true)
    ]
    [InlineData("lora", 2, 3, true), InlineData("lora", 2, 0, false), InlineData("prefix", 1, 3, true)]
    public void Optimizer_state_and_weights_on_the_host_give_the_same(
        string kind,
        int worldSize,
        int stage,
        bool parameters
    )
    {
        var options = new ShardingOptions
        {
            Stage = stage,
            OffloadOptimizer = true,
            OffloadParameters = parameters,
            PersistenceThreshold = 0,
            SubGroupElements = 1024,
        };
        RankedRun.Of(kind, worldSize, options, 4).ShouldBe(RankedRun.Alone(kind, 4), 1e-9);
        RankedRun
            .Of(kind, worldSize, options, 4, ScalarType.Float32)
            .ShouldBe(RankedRun.Alone(kind, 4, ScalarType.Float32), 2e-3);
    }

    [
        Theory,
        InlineData(2, CommunicationType.BFloat16),
        InlineData(0, CommunicationType.BFloat16),
        InlineData(3, CommunicationType.Float32)
    ]
    internal void Gradients_may_be_sent_in_another_type(int stage, CommunicationType type)
    {
        // Adam's first steps follow the gradients' signs, so only losses and norms are near where gradients are rounded
        // to 8 bits.
        var sent = RankedRun.Of("full", 2, Small with { Stage = stage, Communication = type }, 2, ScalarType.Float32);
        var alone = RankedRun.Alone("full", 2, ScalarType.Float32);
        var relative = type == CommunicationType.BFloat16 ? 2e-2 : 1e-4;
        for (var step = 0; step < RankedRun.Steps; step++)
        {
            GoldenModelTests.Near(alone.Losses[step], sent.Losses[step], relative);
            GoldenModelTests.Near(alone.Norms[step], sent.Norms[step], relative);
        }

        Assert.Equal(
            type != CommunicationType.BFloat16,
            sent.Norms[0].Equals(RankedRun.Of("full", 2, Small with { Stage = stage }, 2, ScalarType.Float32).Norms[0])
        );
    }

    [Theory, InlineData(0), InlineData(1), InlineData(2), InlineData(3)]
    public void Live_tensors_stay_as_many_from_step_to_step(int stage)
    {
        const int worldSize = 2;
        var counts = InProcess.Run(
            worldSize,
            ranks =>
            {
                using var model = RankedRun.Model("full", ScalarType.Float32, out _);
                using var sharding = DataParallel.For(
                    Small with
                    {
                        Stage = stage,
                        OffloadOptimizer = stage == 2,
                    },
                    model,
                    ranks
                );
                var live = new List<long>();
                RankedRun.Train(
                    model,
                    sharding,
                    ranks,
                    2 * worldSize,
                    steps: 5,
                    after: _ =>
                    {
                        // A call's data is moved by the rank that comes last, so only the sum over the ranks is the
                        // same each time.
                        ranks.Barrier();
                        live.Add(DisposeScopeManager.Statistics.ThreadTotalLiveCount);
                        ranks.Barrier();
                    }
                );
                return live;
            }
        );
        var total = counts[0].Zip(counts[1], (a, b) => a + b).ToList();
        Assert.Equal(total[2], total[4]);
    }

    [Theory, InlineData(2), InlineData(4)]
    public void ZeRO_3_keeps_16_bytes_a_parameter_over_the_ranks_and_two_units(int worldSize)
    {
        var most = InProcess.Run(
            worldSize,
            ranks =>
            {
                using var model = RankedRun.Model("full", ScalarType.Float32, out _);
                var parameters = model.BaseParameters.Sum(parameter => parameter.Count);
                var units = model
                    .Units.Select(unit => unit.Parameters.Sum(parameter => parameter.Count))
                    .OrderDescending()
                    .Take(2)
                    .Sum();
                var options = new ShardingOptions
                {
                    Stage = 3,
                    PersistenceThreshold = 0,
                    MaxReuseDistance = 0,
                    MaxLiveElements = units,
                };
                using var sharding = new ShardedParameters(options, model, ranks);
                Assert.All(model.BaseParameters, parameter => Assert.False(parameter.IsLoaded));
                RankedRun.Train(model, sharding, ranks, worldSize);
                Assert.All(model.BaseParameters, parameter => Assert.False(parameter.IsLoaded));
                Assert.Equal(0, sharding.LiveElements);
                var state = sharding.Trainable.Sum(shard =>
                    Bytes(shard.Master)
                    + Bytes(shard.Gradient)
                    + Bytes(shard.Moments.First)
                    + Bytes(shard.Moments.Second)
                );
                // Slices begin at multiples of 8 elements; there are two a unit, of matrices and of vectors.
                var padding = model.Units.Count() * 2L * FlatLayout.Alignment * 2;
                Assert.InRange(state, 16 * parameters / worldSize, (16 * parameters / worldSize) + (16 * padding));
                return sharding.PeakLiveElements - units - (padding * worldSize);
            }
        );
        Assert.All(
            most,
            above => Assert.True(above <= 0, $"{above} elements above the two largest units were gathered at once.")
        );
        static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();
    }

    [Fact]
    public void A_unit_is_gathered_ahead_of_its_use_and_stays_where_it_is_needed_again_soon()
    {
        InProcess.Run(
            2,
            ranks =>
            {
                using var model = RankedRun.Model("full", ScalarType.Float32, out _);
                using var sharding = new ShardedParameters(
                    new ShardingOptions
                    {
                        Stage = 3,
                        PersistenceThreshold = 0,
                        PrefetchElements = 1,
                    },
                    model,
                    ranks
                );
                sharding.BeginPass(
                    [model.Embedding, model.Layers[0], model.Layers[1], model.Layers[0]],
                    lastOfStep: true
                );
                sharding.Unshard(model.Embedding);
                Assert.False(model.Layers[0].Attention.Output.Weight.IsLoaded);
                var (embedding, layer) = (Elements(model.Embedding), Elements(model.Layers[0]));
                Assert.InRange(sharding.LiveElements, embedding + layer, embedding + layer + 100);
                sharding.Reshard(model.Embedding);
                Assert.False(model.Embedding.Weight.IsLoaded);
                sharding.Unshard(model.Layers[0]);
                sharding.Reshard(model.Layers[0]);
                Assert.True(model.Layers[0].Attention.Output.Weight.IsLoaded);
                sharding.BeginPass([], lastOfStep: true);
                Assert.Equal(0, sharding.LiveElements);
            }
        );
        static long Elements(Layer layer) => layer.Parameters.Sum(parameter => parameter.Count);
    }

    [Fact]
    public void A_model_is_loaded_unit_by_unit_and_never_whole()
    {
        InProcess.Run(
            2,
            ranks =>
            {
                var options = new ShardingOptions { Stage = 3, PersistenceThreshold = 0 };
                var slices = new WeightSlices(options, ranks);
                var most = 0;
                using var model = ModelFolder.Load(
                    Path.Combine(GoldenModelTests.Folder, "model-hf"),
                    ScalarType.Float32,
                    CPU,
                    loaded: unit =>
                    {
                        slices.Take(unit);
                        most = Math.Max(most, unit.Parameters.Count(parameter => parameter.IsLoaded));
                    }
                );
                Assert.Equal(0, most);
                Assert.All(model.BaseParameters, parameter => Assert.False(parameter.IsLoaded));
                using var whole = ModelFolder.Load(
                    Path.Combine(GoldenModelTests.Folder, "model-hf"),
                    ScalarType.Float32,
                    CPU
                );
                using var sharding = DataParallel.For(options, model, ranks, slices);
                foreach (var (unit, expected) in model.Units.Zip(whole.Units))
                {
                    var values = expected.Parameters.ToDictionary(
                        parameter => parameter.Name,
                        parameter => parameter.Value
                    );
                    sharding.GatherValues(
                        unit,
                        (parameter, value) =>
                            Assert.True(value.equal(values[parameter.Name]).all().item<bool>(), parameter.Name)
                    );
                }
            }
        );
    }

    [Fact]
    public void An_adapters_weights_are_handed_out_without_gathering_the_frozen_ones() =>
        InProcess.Run(
            2,
            ranks =>
            {
                using var model = RankedRun.Model("lora", ScalarType.Float32, out var adapter);
                using var owned = adapter;
                using var sharding = (ShardedParameters)DataParallel.For(Small with { Stage = 3 }, model, ranks);
                var found = new List<Parameter>();
                model
                    .Units.ToList()
                    .ForEach(unit =>
                        sharding.GatherValues(unit, (parameter, _) => found.Add(parameter), trainedOnly: true)
                    );
                Assert.NotEmpty(found);
                Assert.Equal(
                    model.Units.SelectMany(unit => unit.Parameters).Where(parameter => parameter.Trainable),
                    found
                );
                Assert.Equal(0, sharding.PeakLiveElements);
            }
        );

    [Theory, InlineData(1, "full"), InlineData(2, "full"), InlineData(2, "lora"), InlineData(2, "prefix")]
    public void A_model_in_slices_evaluates_as_the_whole_one(int worldSize, string kind)
    {
        using var whole = RankedRun.Model(kind, ScalarType.Float32, out var adapter);
        using var owned = adapter;
        int[] ids = [3, 1, 4, 1, 5, 9, 2, 6];
        var expected = (Loss: Loss(whole), Logits: Logits(whole));
        var found = InProcess.Run(
            worldSize,
            ranks =>
            {
                using var model = RankedRun.Model(kind, ScalarType.Float32, out var mine);
                using var ownedHere = mine;
                using var sharding = DataParallel.For(Small with { Stage = 3 }, model, ranks);
                var lm = new GatheringModel(model, sharding);
                return (Loss: Loss(lm), Logits: Logits(lm));
            }
        );
        Assert.All(
            found,
            each =>
            {
                Assert.Equal(expected.Loss, each.Loss);
                Assert.Equal(expected.Logits, each.Logits);
            }
        );

        double Loss(ICausalLm lm)
        {
            using var targets = new SupervisedTargets([1, 2, 5], [7, 8, 9], CPU);
            return lm.Loss(ids, SequenceLayout.OfRows(2, 4, CPU), targets);
        }

        float[] Logits(ICausalLm lm)
        {
            using var scope = NewDisposeScope();
            return [.. lm.Logits(ids, SequenceLayout.OfRows(2, 4, CPU), lastOnly: true).data<float>()];
        }
    }
}
