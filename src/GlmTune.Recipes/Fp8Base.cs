using GlmTune.Model.Glm4;

namespace GlmTune.Recipes;

/// <summary>What a base model in fp8 rules out: its rounded weights can be multiplied with, and nothing else.</summary>
public static class Fp8Base
{
    /// <summary>Before the model is read.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="stage">ZeRO's.</param>
    /// <exception cref="InvalidDataException">The recipe wants fp8 and something that needs the weights themselves.</exception>
    public static void Check(Recipe recipe, int stage = 0)
    {
        if (!recipe.Training.Fp8Base)
        {
            return;
        }
        if (recipe.Lora is null && recipe.Prefix is null)
        {
            throw new InvalidDataException("fp8_base: all weights are trained without an adapter, and trained weights cannot be held in fp8. Add peft_config, or leave fp8_base out.");
        }
        if (stage == 3)
        {
            throw new InvalidDataException("fp8_base: ZeRO stage 3 spreads the base's weights over the ranks in the type they compute in. Use stage 0, 1 or 2, or leave fp8_base out.");
        }
        if (recipe.Lora is { UseDora: true })
        {
            throw new InvalidDataException("fp8_base: DoRA (use_dora) needs the lengths of the weights' rows at every step. Use LoRA, or leave fp8_base out.");
        }
    }

    /// <summary>With the adapter on the model.</summary>
    /// <exception cref="InvalidDataException">A weight that is held in fp8 is to be trained (<c>modules_to_save</c>).</exception>
    public static void Check(Glm4Model model)
    {
        if (model.Parameters.FirstOrDefault(parameter => parameter.Rounded is not null && parameter.Trainable) is { } both)
        {
            throw new InvalidDataException($"fp8_base: '{both.Name}' is named by modules_to_save, and trained weights cannot be held in fp8. Leave one of the two out.");
        }
    }
}
