using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Model;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>Makes a model with random weights: to train from nothing, or to measure with.</summary>
public static class InitializeModel
{
    /// <summary>The name of the published shape that needs no files.</summary>
    public const string PublishedShape = "glm-4-9b";

    /// <summary>The architecture that a name represents.</summary>
    /// <param name="like"><see cref="PublishedShape"/>, or a model's folder or hub id, of which the configuration is
    /// enough.</param>
    /// <exception cref="InvalidDataException">The model does not exist.</exception>
    public static ModelConfig Shape(string like) =>
        like == PublishedShape ? ModelFamilies.Shape(PublishedShape) : ModelConfig.Read(ModelReference.Resolve(like));

    /// <summary>Writes the model, and the tokenizer and generation configuration of the folder that it is
    /// like.</summary>
    /// <param name="folder">A folder that is not there yet.</param>
    /// <param name="like">As for <see cref="Shape"/>.</param>
    /// <param name="layout">Whose names it gets; null for those of the model that it is like.</param>
    /// <param name="seed">Decides the numbers, on one kind of device.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="device">Where the numbers are drawn.</param>
    /// <returns>The architecture.</returns>
    /// <exception cref="InvalidDataException">The model does not exist, or something is at
    /// <paramref name="folder"/>.</exception>
    public static ModelConfig Run(
        string folder,
        string like,
        CheckpointLayout? layout,
        long seed,
        ScalarType type,
        Device device
    )
    {
        if (Directory.Exists(folder) || File.Exists(folder))
        {
            throw new InvalidDataException($"{folder}: already exists; a model is only written to a new folder.");
        }

        var config = Shape(like);
        using var target = AtomicFolder.Create(folder);
        using (var model = config.NewModel(type, device))
        {
            model.InitializeRandomly(seed);
            ModelFolder.Save(model, target.Path, layout ?? config.Layout, type);
        }

        if (like != PublishedShape && ModelReference.Resolve(like) is var source && TokenizerFile.IsIn(source))
        {
            TokenizerFile.Copy(source, target.Path);
            var generation = Path.Combine(source, GenerationConfigFile.Name);
            if (File.Exists(generation))
            {
                File.Copy(generation, Path.Combine(target.Path, GenerationConfigFile.Name));
            }
        }

        target.Publish();
        return config;
    }
}
