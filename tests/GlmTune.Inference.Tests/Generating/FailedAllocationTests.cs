using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Testing;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Inference.Tests.Generating;

/// <summary>Every allocation of an answer fails once: an error each time, nothing left over, and the next answer is the
/// usual one.</summary>
[Collection(nameof(FailedAllocations))]
public sealed class FailedAllocationTests : IDisposable
{
    private readonly int threads = get_num_threads();

    public FailedAllocationTests()
    {
        Assert.SkipUnless(FailingAllocation.IsSupported, "needs Linux on x86-64: it replaces libtorch's allocator");
        set_num_threads(1); // Tiny operators spend their time waiting for a second one.
    }

    public void Dispose() => set_num_threads(threads);

    [Theory]
    [InlineData("lora_all")]
    [InlineData("dora")]
    [InlineData("prefix")]
    public void An_adapter_whose_nth_allocation_fails_leaves_the_others_as_they_were(string kind)
    {
        var golden = new GoldenAdapters(GoldenData.Path("glm-tiny"));
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float32, CPU);
        using var served = new ServedAdapters(model);
        // The ninth makes the tables grow.
        for (var i = 0; i < 8; i++)
        {
            served.Load($"{i}", golden.PathOf("lora"));
        }

        var generator = new Generator(model, 640, new GenerationOptions { MaxNewTokens = 3, EosTokenIds = [] });
        var request = new GenerationRequest([3, 4, 5]) { Adapter = "7" };
        var usual = generator.Generate(request).Tokens;
        var failures = 0;
        FailingAllocation.Each(
            () => served.Load("other", golden.PathOf(kind)),
            (n, error) =>
            {
                if (error is null)
                {
                    served.Unload("other");
                }
                else
                {
                    failures++;
                    Assert.True(AllocationFailure.Find(error) is not null, $"allocation {n}: {error}");
                }

                Assert.Equal(8, served.All.Count);
                if (n % 20 == 1)
                {
                    Assert.Equal(usual, generator.Generate(request).Tokens);
                }
            },
            stride: kind == "prefix" ? 2 : 7
        );
        Assert.True(failures > 3, $"{failures} allocations failed");
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        FailingAllocation.Each(
            () => served.Load("other", golden.PathOf(kind)),
            (n, error) =>
            {
                if (error is null)
                {
                    served.Unload("other");
                }

                Assert.Equal(live, DisposeScopeManager.Statistics.ThreadTotalLiveCount);
            },
            stride: kind == "prefix" ? 3 : 11
        );
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(1, true)]
    [InlineData(2, false)]
    public void An_answer_whose_nth_allocation_fails_says_so_and_the_next_is_the_usual_one(int beams, bool samples)
    {
        using var model = ModelFolder.Load(GoldenData.Path("glm-tiny/model-hf"), ScalarType.Float32, CPU);
        var generator = new Generator(model, 640, new GenerationOptions { MaxNewTokens = 4, EosTokenIds = [] });
        GenerationRequest[] requests =
        [
            new([3, 4, 5]) { Options = new() { NumBeams = beams } },
            new([6])
            {
                Options = new()
                {
                    NumBeams = beams,
                    DoSample = samples,
                    Seed = 1,
                },
            },
        ];
        var usual = generator.GenerateAll(requests).Select(answer => answer.Tokens).ToList();
        var live = DisposeScopeManager.Statistics.ThreadTotalLiveCount;
        var answers = new List<GeneratedAnswer>();
        var failures = FailingAllocation.Each(
            () => answers = [.. generator.GenerateAll(requests)],
            (n, error) =>
            {
                var left = DisposeScopeManager.Statistics.ThreadTotalLiveCount - live;
                Assert.True(left == 0, $"allocation {n}: {left} tensors are left\n{error?.StackTrace}");
                Assert.True(
                    error is null || AllocationFailure.Find(error) is not null,
                    $"allocation {n}: {error?.Message}"
                );
                if (n % 20 == 0 && error is not null)
                {
                    Assert.Equal(usual, generator.GenerateAll(requests).Select(answer => answer.Tokens));
                }
            },
            stride: 3
        );
        Assert.Equal(usual, answers.Select(answer => answer.Tokens));
        Assert.InRange(failures, 30, 5000);
    }
}

/// <summary>Replaces the allocator of the whole process, so nothing runs beside it.</summary>
[CollectionDefinition(nameof(FailedAllocations), DisableParallelization = true)]
public sealed class FailedAllocations;
