using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Model;
using TorchSharp;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Models;

/// <summary>Creates a model with random weights, for training from scratch or for benchmarks.</summary>
internal static class InitializeModel
{
    /// <summary>The published shape that benchmarks use by default.</summary>
    public const string PublishedShape = "glm-4-9b";

    /// <summary>The architecture for a name.</summary>
    /// <param name="like">One of <see cref="ModelFamilies.ShapeNames"/>, which need no files, or a model folder or Hub
    /// id, of which only the configuration is read.</param>
    /// <exception cref="InvalidDataException">The model does not exist.</exception>
    public static ModelConfig Shape(string like) =>
        IsPublished(like) ? ModelFamilies.Shape(like) : ModelConfig.Read(ModelReference.Resolve(like));

    /// <summary>Writes the model, with the tokenizer and generation configuration of the model that it is
    /// like.</summary>
    /// <param name="folder">Target folder; must not exist.</param>
    /// <param name="like">As for <see cref="Shape"/>.</param>
    /// <param name="layout">Naming of the tensors; null: that of the model it is like.</param>
    /// <param name="seed">Seed of the random weights; results also depend on the kind of device.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="device">The device that draws the random numbers.</param>
    /// <returns>The architecture.</returns>
    /// <exception cref="InvalidDataException">The model does not exist, or <paramref name="folder"/>
    /// exists.</exception>
    public static ModelConfig Run(
        string folder,
        string like,
        CheckpointLayout? layout,
        long seed,
        ScalarType type,
        Device device
    )
    {
        var report = new ProblemReport();
        var shape = report.Try(() => Shape(like));
        if (shape is not null)
        {
            report.Try(() => shape.RequireLayout(layout ?? shape.Layout));
        }

        report.Add(
            WriteProbe.FindProblemOfNewFolder(folder, (shape?.ParameterCount ?? 0) * type.ElementSize()) is { } problem
                ? [problem]
                : []
        );
        report.Throw();
        var config = shape!;
        using var target = AtomicFolder.Create(folder);
        using (var model = config.NewModel(type, device))
        {
            model.InitializeRandomly(seed);
            ModelFolder.Save(model, target.Path, layout ?? config.Layout, type);
        }

        if (!IsPublished(like) && ModelReference.Resolve(like) is var source && TokenizerFile.IsIn(source))
        {
            TokenizerFile.Copy(source, target.Path);
            var generation = Path.Combine(source, GenerationConfigFile.Name);
            if (File.Exists(generation))
            {
                AtomicFile.Copy(generation, Path.Combine(target.Path, GenerationConfigFile.Name));
            }
        }

        target.Publish();
        return config;
    }

    private static bool IsPublished(string like) => ModelFamilies.ShapeNames.Contains(like);
}
