using GlmTune.Model;
using GlmTune.Model.Layers;
using GlmTune.Training;

namespace GlmTune.Recipes.Training;

/// <summary>Where the frozen weights below an adapter are stored and in which type, and the restrictions that follow
/// from it.</summary>
internal static class FrozenBase
{
    /// <summary>Checks the settings before the model is read.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="stage">The ZeRO stage.</param>
    /// <param name="config">The model's configuration.</param>
    /// <exception cref="InvalidDataException">Weights that must stay whole would be sharded, weights in few bits would
    /// be trained, or a table that the head needs would be moved.</exception>
    public static void Check(Recipe recipe, int stage, ModelConfig config)
    {
        var training = recipe.Training;
        CheckStored(recipe, stage, config);
        if (training.OffloadEmbedding && config.TiedHead)
        {
            throw new InvalidDataException(
                "offload_embedding: this model's output head uses the embedding's table (tie_word_embeddings), so the "
                    + "table stays on the GPU. Remove offload_embedding."
            );
        }

        foreach (
            var (key, asked) in ((string, bool)[])
                [
                    (training.FrozenKey, training.FrozenType is not null),
                    ("offload_embedding", training.OffloadEmbedding),
                ]
        )
        {
            if (asked && stage == 3)
            {
                throw new InvalidDataException(
                    $"{key}: ZeRO stage 3 shards the weights, but these must stay whole. Use stage 0, 1 or 2, "
                        + $"or remove {key}."
                );
            }
        }
    }

    /// <summary>Checks what a base model needs whose files hold its weights in few bits.</summary>
    /// <param name="recipe">The recipe.</param>
    /// <param name="stage">The ZeRO stage.</param>
    /// <param name="config">The model's configuration.</param>
    /// <exception cref="InvalidDataException">They would be trained, sharded, or quantized again.</exception>
    public static void CheckStored(Recipe recipe, int stage, ModelConfig config)
    {
        if (config.Stored is not { } stored)
        {
            return;
        }

        if (recipe.Lora is null && recipe.Prefix is null)
        {
            throw new InvalidDataException(
                $"The base model's weights are quantized ({stored.Name}), but without an adapter all weights are "
                    + "trained. Add peft_config, or use the model that this one was made from."
            );
        }

        if (recipe.Training.FrozenType is not null)
        {
            throw new InvalidDataException(
                $"The base model's weights are quantized ({stored.Name}), so they cannot be quantized again. Remove "
                    + $"{recipe.Training.FrozenKey}."
            );
        }

        if (stage == 3)
        {
            throw new InvalidDataException(
                $"The base model's weights are quantized ({stored.Name}). ZeRO stage 3 shards the weights, but these "
                    + "must stay whole. Use stage 0, 1 or 2."
            );
        }
    }

    /// <summary>Called for each unit when its weights have been read.</summary>
    public static void MoveToHostIfAsked(Layer unit, TrainingOptions training)
    {
        if (training.OffloadEmbedding && unit is TokenEmbedding embedding)
        {
            embedding.MoveToHost();
        }
    }

    /// <summary>Checks the model after the adapter has been attached.</summary>
    /// <param name="model">The model, possibly with quantized weights or its embedding on the host.</param>
    /// <param name="training">The recipe's settings.</param>
    /// <exception cref="InvalidDataException">A weight that must stay unchanged would be trained
    /// (<c>modules_to_save</c>).</exception>
    public static void Check(DecoderModel model, TrainingOptions training)
    {
        if (training.FrozenType is not null)
        {
            Check(training.FrozenKey, model.QuantizableWeights);
        }

        if (
            model.QuantizableWeights.FirstOrDefault(each => each is { Trainable: true, Quantized: not null }) is { } one
        )
        {
            throw new InvalidDataException(
                $"'{one.Name}' is trained because modules_to_save names it, but the base model's weights are quantized "
                    + $"({model.Config.Stored?.Name}). Remove it from modules_to_save, or use a base model that is not "
                    + "quantized."
            );
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
