using GlmTune.Training.Optimization;
using GlmTune.Training.Sharding;

namespace GlmTune.Recipes.Tests.Configuration;

/// <summary>Type and place of the optimizer's state: by our keys, by the names of AdamW elsewhere, and by a DeepSpeed
/// file.</summary>
public class StateRecipeTests
{
    [Theory]
    [InlineData("adamw_torch", "Float32", false)]
    [InlineData("adamw_torch_fused", "Float32", false)]
    [InlineData("adamw_8bit", "Int8", false)]
    [InlineData("adamw_bnb_8bit", "Int8", false)]
    [InlineData("adamw_torch_8bit", "Int8", false)]
    [InlineData("ADAMW_8BIT", "Int8", false)]
    [InlineData("paged_adamw", "Float32", true)]
    [InlineData("paged_adamw_32bit", "Float32", true)]
    [InlineData("paged_adamw_8bit", "Int8", true)]
    [InlineData("adamw_anyprecision", "BFloat16", false)]
    [InlineData("adamw_torch_4bit", "Int8", false)]
    public void A_name_of_AdamW_asks_for_its_state(string name, string moments, bool onHost)
    {
        var recipe = Read($"optim: {name}");
        Assert.Equal(Enum.Parse<StateType>(moments), recipe.Optimizer.State.Moments);
        Assert.True(recipe.Optimizer.State.MasterWeights);
        Assert.Equal(onHost, recipe.Plan(64, 1).Sharding.OffloadOptimizer);
    }

    [Theory]
    [InlineData("paged_adamw_8bit", "read as offload_optimizer: true: the state is in host memory")]
    [InlineData("adamw_torch_4bit", "moments of 4 bits are not supported; they are kept in int8")]
    [InlineData("adamw_anyprecision", "moments are kept in bfloat16, with stochastic rounding")]
    public void What_differs_from_the_name_is_noted(string name, string note) =>
        Assert.Contains(note, Assert.Single(Read($"optim: {name}").Notes), StringComparison.Ordinal);

    [Fact]
    public void An_adapter_keeps_its_small_state_on_the_GPU()
    {
        var recipe = RecipeText.Read(
            RecipeText.WithArguments("optim: paged_adamw_8bit") + "\npeft_config:\n  peft_type: LORA\n"
        );
        Assert.False(recipe.Plan(64, 1).Sharding.OffloadOptimizer);
        Assert.Equal(StateType.Int8, recipe.Plan(64, 1).Sharding.State.Moments);
        Assert.Contains("stays on the GPU", Assert.Single(recipe.Notes), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("optimizer_state: bf16", "BFloat16", true)]
    [InlineData("optimizer_state: int8\nmaster_weights: none", "Int8", false)]
    [InlineData("optim: adamw_8bit\noptimizer_state: int8", "Int8", true)]
    [InlineData("master_weights: fp32", "Float32", true)]
    public void Our_keys_say_the_same(string lines, string moments, bool masters)
    {
        var state = Read(lines).Plan(64, 2).Sharding.State;
        Assert.Equal((Enum.Parse<StateType>(moments), masters), (state.Moments, state.MasterWeights));
    }

    [Theory]
    [InlineData(
        "optim: adamw_8bit\noptimizer_state: float32",
        "'training_args.optim' is 'adamw_8bit', which keeps moments in int8, but 'training_args.optimizer_state' is "
            + "float32; make them agree, or remove one"
    )]
    [InlineData(
        "optim: paged_adamw_32bit\noffload_optimizer: false",
        "'training_args.optim' is 'paged_adamw_32bit', which keeps the state in host memory, but "
            + "'training_args.offload_optimizer' is false; remove one"
    )]
    [InlineData(
        "offload_param: true",
        "'training_args.offload_param' is true, but all weights are trained, and their master weights stay on the GPU; "
            + "set offload_optimizer: true or master_weights: none too"
    )]
    [InlineData(
        "optimizer_state: int4",
        "'training_args.optimizer_state' is 'int4'; expected one of float32, bfloat16, int8, fp32, bf16"
    )]
    [InlineData("optim: adamw_9bit", "'training_args.optim' is 'adamw_9bit'; expected one of adamw_torch")]
    public void A_conflict_is_told(string lines, string problem) =>
        Assert.Contains(
            problem,
            Assert.Single(RecipeText.Problems(RecipeText.WithArguments(lines))),
            StringComparison.Ordinal
        );

    [Fact]
    public void An_adapter_keeps_its_master_weights() =>
        Assert.Contains(
            "'training_args.master_weights' is none, but only an adapter is trained",
            Assert.Single(
                RecipeText.Problems(
                    RecipeText.WithArguments("master_weights: none") + "\npeft_config:\n  peft_type: LORA\n"
                )
            ),
            StringComparison.Ordinal
        );

    [Theory]
    [InlineData("max_grad_norm: 0", 1, true)]
    [InlineData("max_grad_norm: 0\noptimizer_state: int8\noffload_optimizer: true", 1, true)]
    [InlineData("max_grad_norm: 0\noffload_optimizer: true", 1, false)]
    [InlineData("max_grad_norm: 0\ngradient_accumulation_steps: 2", 1, false)]
    [InlineData("max_grad_norm: 0", 2, false)]
    [InlineData("max_grad_norm: 1", 1, false)]
    public void Layers_are_updated_behind_the_backward_pass_where_nothing_has_to_wait(
        string lines,
        int ranks,
        bool byLayer
    ) => Assert.Equal(byLayer, Read(lines).Plan(64, ranks).Sharding.UpdatesByLayer);

    [Theory]
    [InlineData("{\"zero_optimization\": {\"offload_optimizer\": {\"device\": \"cpu\"}}}", true, false, 0)]
    [InlineData("{\"zero_optimization\": {\"stage\": 2, \"cpu_offload\": true}}", true, false, 2)]
    [InlineData("{\"zero_optimization\": {\"stage\": 1, \"offload_param\": {\"device\": \"cpu\"}}}", false, true, 3)]
    [InlineData("{\"zero_optimization\": {\"cpu_offload_param\": true}}", false, true, 3)]
    public void A_DeepSpeed_file_offloads_at_every_stage(string json, bool optimizer, bool parameters, int stage)
    {
        var sharding = Read($"master_weights: none\ndeepspeed: {json}").Plan(64, 1).Sharding;
        Assert.Equal((optimizer, parameters), (sharding.OffloadOptimizer, sharding.OffloadParameters));
        Assert.Equal(stage, sharding.Stage);
        Assert.Equal(parameters, sharding.GatherWeightsOnSave);
    }

    [Fact]
    public void A_DeepSpeed_file_asks_for_state_in_bfloat16()
    {
        const string json =
            "deepspeed: {\"bf16\": {\"bf16_master_weights_and_grads\": true, \"bf16_optimizer_states\": true}}";
        var state = Read(json).Plan(64, 4).Sharding.State;
        Assert.Equal((StateType.BFloat16, false), (state.Moments, state.MasterWeights));
        Assert.Contains(
            "'training_args.optimizer_state' says otherwise",
            Assert.Single(RecipeText.Problems(RecipeText.WithArguments($"optimizer_state: int8\n{json}"))),
            StringComparison.Ordinal
        );
    }

    private static Recipe Read(string lines) => RecipeText.Read(RecipeText.WithArguments(lines));
}
