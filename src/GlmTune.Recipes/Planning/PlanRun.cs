using GlmTune.Kernels.Memory;
using GlmTune.Model;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Training;
using GlmTune.Training;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Planning;

/// <summary>Plans the memory of a run that is not started: <c>config.json</c> and recipe are enough.</summary>
internal static class PlanRun
{
    /// <summary>Compares what a run takes with the memory of the GPUs that it would run on.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="model">Model folder, of which only <c>config.json</c> is read, or Hub id of a downloaded
    /// model.</param>
    /// <param name="gpus">Number of GPUs, one rank each.</param>
    /// <param name="gpuMemory">Bytes of each GPU; null: those of this machine's first.</param>
    /// <exception cref="InvalidDataException">The model or the recipe is wrong for such a run, or this machine has no
    /// GPU and no size is given.</exception>
    public static MemoryFit Of(Recipe recipe, string model, int gpus = 1, long? gpuMemory = null) =>
        Of(recipe, ModelConfig.Read(ModelReference.Resolve(model)), gpus, gpuMemory);

    /// <summary>The same for a model of which only the configuration exists.</summary>
    /// <exception cref="InvalidDataException">The recipe is wrong for such a run, or this machine has no GPU and no
    /// size is given.</exception>
    public static MemoryFit Of(Recipe recipe, ModelConfig config, int gpus = 1, long? gpuMemory = null)
    {
        RecipeChecks.CheckRanks(recipe, config, gpus);
        var planned = recipe.Plan(config.HiddenSize, gpus / recipe.Training.SequenceParallelSize);
        FrozenBase.CheckStored(planned.Recipe, planned.Sharding.Stage, config);
        var available = gpuMemory ?? OfThisMachine();
        var demand = MemoryDemand.Of(
            config,
            planned.Recipe,
            planned.Sharding,
            gpus,
            planned.Recipe.Training.Precision == Precision.Float32 ? ScalarType.Float32 : ScalarType.BFloat16
        );
        return MemoryFit.Of(
            demand with
            {
                WithContext = true,
            },
            available,
            gpuMemory is null ? "this machine's GPU" : $"a GPU of {ByteCount.Text(available)}",
            gpuMemory is null ? HostMemory.Total / gpus : null
        );
    }

    private static long OfThisMachine() =>
        DeviceMemory.Of(ComputeDevice.Named(null))?.Total
        ?? throw new InvalidDataException(
            "This machine has no usable GPU; pass the memory of the GPU to plan for, such as --gpu-memory 24GiB."
        );
}
