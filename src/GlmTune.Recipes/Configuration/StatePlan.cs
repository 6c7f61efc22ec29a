using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Configuration;

/// <summary>Decides the type and place of the optimizer's state, and when layers are updated.</summary>
internal static class StatePlan
{
    /// <summary>Adds what the recipe says about the state to what its DeepSpeed file says.</summary>
    /// <param name="recipe">The recipe, combined with its DeepSpeed file.</param>
    /// <param name="sharding">The DeepSpeed file's options.</param>
    /// <param name="ranks">Number of ranks with rows of their own.</param>
    public static ShardingOptions Of(Recipe recipe, ShardingOptions sharding, int ranks)
    {
        var (training, optimizer) = (recipe.Training, recipe.Optimizer);
        var trainsAll = recipe.Lora is null && recipe.Prefix is null;
        sharding = sharding with
        {
            State = optimizer.State,
            UpdatesByLayer =
                trainsAll
                && ranks == 1
                && training is { SequenceParallelSize: 1, AccumulationSteps: 1 }
                && optimizer.MaxGradientNorm == 0
                && !training.KeepsGradientsUntilUpdate
                && !(sharding.OffloadOptimizer && optimizer.State.IsFull),
        };
        sharding = training.OffloadOptimizer ? sharding.WithOptimizerOnHost() : sharding;
        return training.OffloadParameters || (sharding.OffloadParameters && sharding.Stage < 3)
            ? sharding.WithParametersOnHost()
            : sharding;
    }
}
