using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using static TorchSharp.torch;

namespace GlmTune.Recipes;

/// <summary>What a run trains: an adapter on a frozen model, or all of the model.</summary>
public sealed class TrainedWeights : IDisposable
{
    private readonly Glm4Model model;
    private readonly Lora? lora;

    private TrainedWeights(Glm4Model model, Lora? lora) => (this.model, this.lora) = (model, lora);

    /// <summary>Whether an adapter is trained, not the model itself.</summary>
    public bool IsAdapter => lora is not null;

    /// <summary>Number of trained parameters.</summary>
    public long Count => model.Parameters.Where(parameter => parameter.Trainable).Sum(parameter => parameter.Count);

    /// <summary>Puts what the recipe asks for on the model, or wakes all of the model's weights.</summary>
    /// <param name="model">The model, its own or a checkpoint's weights loaded.</param>
    /// <param name="recipe">Names the adapter, if any.</param>
    /// <param name="checkpoint">Where an adapter goes on from; null: it starts anew.</param>
    /// <exception cref="InvalidDataException">The checkpoint's adapter does not fit, or is not the recipe's.</exception>
    public static TrainedWeights Prepare(Glm4Model model, Recipe recipe, string? checkpoint)
    {
        if (recipe.Prefix is not null)
        {
            throw new InvalidDataException("peft_type PREFIX_TUNING is not there yet for training.");
        }
        if (recipe.Lora is not { } options)
        {
            foreach (var parameter in model.BaseParameters)
            {
                parameter.Trainable = true;
            }
            return new TrainedWeights(model, null);
        }
        if (checkpoint is not null)
        {
            return new TrainedWeights(model, AdapterFolder.LoadLora(checkpoint, model, options.Dropout));
        }
        var lora = Lora.Attach(model, options);
        lora.Initialize(recipe.Training.Seed);
        return new TrainedWeights(model, lora);
    }

    /// <summary>Writes adapter or model, without the tokenizer's files.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="baseModel">How the base model was named.</param>
    /// <param name="values">Where a parameter's values are in full precision.</param>
    public void Save(string folder, string baseModel, Func<Parameter, Tensor> values)
    {
        if (lora is not null)
        {
            AdapterFolder.SaveLora(folder, lora, baseModel, values);
            return;
        }
        ModelFolder.Save(model, folder, model.Config.Layout, model.Type == ScalarType.Float64 ? ScalarType.Float32 : model.Type, values);
    }

    /// <inheritdoc/>
    public void Dispose() => lora?.Dispose();
}
