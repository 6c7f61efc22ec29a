using GlmTune.Training.Optimization;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads the keys of <c>training_args</c> for type and place of the optimizer's state, and the names of AdamW
/// in other programs, which ask for the same.</summary>
internal static class StateSection
{
    private const string OptimizerKey = "optim";
    private const string MomentsKey = "optimizer_state";
    private const string MastersKey = "master_weights";

    // What a name asks for: the type of the moments (null: what optimizer_state says), whether they leave the GPU where
    // it is full, and what is different here.
    private static readonly (string Name, Kind Kind)[] Names =
    [
        ("adamw_torch", new()),
        ("adamw_torch_fused", new()),
        ("adamw_hf", new()),
        ("adamw_apex_fused", new()),
        ("adamw_8bit", new(StateType.Int8)),
        ("adamw_bnb_8bit", new(StateType.Int8)),
        ("adamw_torch_8bit", new(StateType.Int8)),
        ("adamw_torch_4bit", new(StateType.Int8, Note: "moments of 4 bits are not supported; they are kept in int8")),
        (
            "adamw_anyprecision",
            new(
                StateType.BFloat16,
                Note: "moments are kept in bfloat16, with stochastic rounding instead of Kahan's sum"
            )
        ),
        ("paged_adamw", new(IsPaged: true)),
        ("paged_adamw_32bit", new(IsPaged: true)),
        ("paged_adamw_8bit", new(StateType.Int8, IsPaged: true)),
    ];

    public static StateOptions Read(Section arguments)
    {
        var kind = arguments.Choice(OptimizerKey, new Kind(), [.. Names]);
        var moments = arguments.Choice(
            MomentsKey,
            StateType.Float32,
            ("float32", StateType.Float32),
            ("bfloat16", StateType.BFloat16),
            ("int8", StateType.Int8),
            ("fp32", StateType.Float32),
            ("bf16", StateType.BFloat16)
        );
        var masters = arguments.Choice(MastersKey, true, ("float32", true), ("none", false), ("fp32", true));
        if (kind.Moments is { } asked)
        {
            if (arguments.IsWritten(MomentsKey) && moments != asked)
            {
                arguments.Problem(
                    OptimizerKey,
                    $"'{arguments.Full(OptimizerKey)}' is {arguments.Peek(OptimizerKey)!.Describe()}, which keeps "
                        + $"moments in {Word(asked)}, but '{arguments.Full(MomentsKey)}' is {Word(moments)}; make them "
                        + "agree, or remove one"
                );
            }

            moments = asked;
        }

        return new StateOptions { Moments = moments, MasterWeights = masters };
    }

    /// <summary>Settles what depends on other keys, and finds conflicts.</summary>
    public static Recipe Check(Recipe recipe, Section arguments)
    {
        var trainsAll = recipe.Lora is null && recipe.Prefix is null;
        recipe = WithPages(recipe, arguments, trainsAll);
        var (training, state) = (recipe.Training, recipe.Optimizer.State);
        if (!state.MasterWeights && !trainsAll)
        {
            arguments.Problem(
                MastersKey,
                $"'{arguments.Full(MastersKey)}' is none, but only an adapter is trained, whose master weights take "
                    + "little; remove it"
            );
        }

        if (
            training is { OffloadParameters: true, OffloadOptimizer: false }
            && trainsAll
            && state.MasterWeights
            && recipe.DeepSpeed is null
        )
        {
            arguments.Problem(
                "offload_param",
                $"'{arguments.Full("offload_param")}' is true, but all weights are trained, and their master weights "
                    + "stay on the GPU; set offload_optimizer: true or master_weights: none too"
            );
        }

        return recipe;
    }

    /// <summary>A type's name in recipes.</summary>
    public static string Word(StateType type) => type.ToString().ToLowerInvariant();

    private static Recipe WithPages(Recipe recipe, Section arguments, bool trainsAll)
    {
        var kind = KindNamed(arguments.Peek(OptimizerKey));
        var what = $"'{arguments.Full(OptimizerKey)}' is {arguments.Peek(OptimizerKey)?.Describe()}";
        if (kind.Note.Length > 0)
        {
            arguments.Note(OptimizerKey, $"{what}: {kind.Note}");
        }

        if (!kind.IsPaged)
        {
            return recipe;
        }

        if (!trainsAll)
        {
            arguments.Note(OptimizerKey, $"{what}: the state of an adapter is small and stays on the GPU");
            return recipe;
        }

        if (arguments.IsWritten("offload_optimizer") && !recipe.Training.OffloadOptimizer)
        {
            arguments.Problem(
                OptimizerKey,
                $"{what}, which keeps the state in host memory, but '{arguments.Full("offload_optimizer")}' is false; "
                    + "remove one"
            );
        }

        arguments.Note(OptimizerKey, $"{what}, read as offload_optimizer: true: the state is in host memory");
        return recipe with { Training = recipe.Training with { OffloadOptimizer = true } };
    }

    private static Kind KindNamed(ConfigNode? node) =>
        Array
            .Find(
                Names,
                name => node is ConfigText text && name.Name.Equals(text.Text, StringComparison.OrdinalIgnoreCase)
            )
            .Kind
        ?? new();

    private sealed record Kind(StateType? Moments = null, bool IsPaged = false, string Note = "");
}
