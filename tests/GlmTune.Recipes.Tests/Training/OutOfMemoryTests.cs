using GlmTune.Checkpoints;
using GlmTune.Kernels.Memory;
using GlmTune.Testing;
using GlmTune.Training;

namespace GlmTune.Recipes.Tests.Training;

/// <summary>A run whose memory ends in the middle keeps its last whole step and says so.</summary>
[Collection(nameof(FailedAllocations))]
public sealed class OutOfMemoryTests : IDisposable
{
    private readonly TinyRun run = new();

    public OutOfMemoryTests() =>
        Assert.SkipUnless(FailingAllocation.IsSupported, "needs Linux on x86-64: it replaces libtorch's allocator");

    public void Dispose()
    {
        FailingAllocation.Arm(0);
        run.Dispose();
    }

    [Fact]
    public void The_last_whole_step_is_saved_and_the_run_goes_on_from_it()
    {
        var whole = run.Train(run.Recipe("whole", stage: null));
        var recipe = run.Recipe("ends", stage: null);
        var error = Assert.Throws<MemoryExhaustedException>(() =>
            run.Train(recipe, stepped: (_, report) => FailingAllocation.Arm(report.Step == 2 ? 40 : 0))
        );
        FailingAllocation.Arm(0);
        Assert.StartsWith(
            "Out of memory: 4 EiB could not be allocated on the host",
            error.Message,
            StringComparison.Ordinal
        );
        Assert.Contains("Step 2 is saved in ", error.Message, StringComparison.Ordinal);
        Assert.Equal([2], CheckpointFolder.Steps(run.At("ends")).Select(step => (int)step));
        var resumed = run.Train(recipe, resume: "yes");
        Assert.Equal(whole.Losses[2..], resumed.Losses);
    }

    [Fact]
    public void Nothing_is_saved_where_nothing_was_done_or_the_recipe_saves_nothing()
    {
        var recipe = run.Recipe("first", stage: null);
        var error = Assert.Throws<MemoryExhaustedException>(() =>
            run.Train(
                recipe with
                {
                    Training = recipe.Training with { SaveStrategy = IntervalStrategy.No },
                },
                stepped: (_, report) => FailingAllocation.Arm(report.Step == 1 ? 40 : 0)
            )
        );
        Assert.Contains("No checkpoint was written before.", error.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(run.At("first", "checkpoint-1")));
    }
}

/// <summary>Replaces the allocator of the whole process, so nothing runs beside it.</summary>
[CollectionDefinition(nameof(FailedAllocations), DisableParallelization = true)]
public sealed class FailedAllocations;
