using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>Where and in which type the weights below an adapter lie, and what that rules out beside what a recipe
/// alone shows.</summary>
internal static class FrozenBase
{
    /// <summary>Before the model is read.</summary>
    /// <param name="training">What the recipe asks for.</param>
    /// <param name="stage">ZeRO's.</param>
    /// <exception cref="InvalidDataException">Weights that must stay whole are to be cut into slices.</exception>
    public static void Check(TrainingOptions training, int stage)
    {
        foreach (
            var (key, asked) in ((string, bool)[])
                [("fp8_base", training.Fp8Base), ("offload_embedding", training.OffloadEmbedding)]
        )
        {
            if (asked && stage == 3)
            {
                throw new InvalidDataException(
                    $"{key}: ZeRO stage 3 splits weights into slices, but these must stay whole. Use stage "
                        + $"0, 1 or 2, or remove {key}."
                );
            }
        }
    }

    /// <summary>Called with each unit as its weights are read.</summary>
    public static void Place(Layer unit, TrainingOptions training)
    {
        if (training.OffloadEmbedding && unit is TokenEmbedding embedding)
        {
            embedding.MoveToHost();
        }
    }

    /// <summary>With the adapter on the model.</summary>
    /// <param name="model">Perhaps with weights in fp8, or its embedding on the host.</param>
    /// <param name="training">What the recipe asks for.</param>
    /// <exception cref="InvalidDataException">A weight that must stay as it is is to be trained
    /// (<c>modules_to_save</c>).</exception>
    public static void Check(DecoderModel model, TrainingOptions training)
    {
        if (training.Fp8Base)
        {
            Check("fp8_base", model.Fp8Weights);
        }

        if (training.OffloadEmbedding)
        {
            Check("offload_embedding", [model.Embedding.Weight]);
        }
    }

    private static void Check(string key, IEnumerable<Parameter> frozen)
    {
        if (frozen.FirstOrDefault(parameter => parameter.Trainable) is { } both)
        {
            throw new InvalidDataException(
                $"{key}: '{both.Name}' is trained because modules_to_save names it, so it cannot be "
                    + "quantized or moved. Remove one of the two."
            );
        }
    }
}
