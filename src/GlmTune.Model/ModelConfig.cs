using System.Text.Json.Nodes;
using GlmTune.Files.Json;
using GlmTune.Kernels.Definitions;
using GlmTune.Model.Exporting;
using GlmTune.Model.Prequantized;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>The architecture of a decoder model, as described by its <c>config.json</c>: the numbers common to all
/// families. A family adds its own.</summary>
internal abstract record ModelConfig
{
    /// <summary>The file's name in a model folder.</summary>
    public const string FileName = "config.json";

    /// <summary>Name of the models of this architecture, such as <c>GLM-4</c>.</summary>
    public abstract string Title { get; }

    /// <summary>Layout of the file that it was read from.</summary>
    public required CheckpointLayout Layout { get; init; }

    /// <summary>Number of decoder layers, L.</summary>
    public required int LayerCount { get; init; }

    /// <summary>Hidden size, C.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the feed-forward block, F.</summary>
    public required int FeedForwardSize { get; init; }

    /// <summary>Number of query heads, H.</summary>
    public required int QueryHeads { get; init; }

    /// <summary>Number of key-value heads, K.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Features per head, D.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Number of rows in the embedding, including padding rows, V.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Added to the mean square in every RMS norm.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Base of the rotary angles.</summary>
    public required double RotaryBase { get; init; }

    /// <summary>Fraction of a head's features that are rotated.</summary>
    public double RotaryShare { get; init; } = 0.5;

    /// <summary>Whether the output head uses the table of the token embedding: one weight for both
    /// (<c>tie_word_embeddings</c>).</summary>
    public bool TiedHead { get; init; }

    /// <summary>Maximum sequence length that the model was trained for, in tokens.</summary>
    public int MaxPositions { get; init; } = 131072;

    /// <summary>Ids of the tokens that end an answer.</summary>
    public IReadOnlyList<int> EndTokenIds { get; init; } = [];

    /// <summary>Id of the padding token; null if the file has none.</summary>
    public int? PaddingTokenId { get; init; }

    /// <summary>How the weights of the model's files are quantized; null: they are not.</summary>
    public StoredQuantization? Stored { get; init; }

    /// <summary>The complete contents of the file, for writing it again.</summary>
    public JsonObject Source { get; init; } = [];

    /// <summary>How a fused query-key-value row is divided into heads.</summary>
    public HeadLayout Heads => new(QueryHeads, KeyValueHeads, HeadDim, (int)(HeadDim * RotaryShare));

    /// <summary>Total number of parameters.</summary>
    public abstract long ParameterCount { get; }

    /// <summary>Number of parameters in one decoder layer.</summary>
    public abstract long ParametersPerLayer { get; }

    /// <summary>The checkpoint layouts that exist for this architecture.</summary>
    public abstract IReadOnlyList<CheckpointLayout> Layouts { get; }

    /// <summary>How llama.cpp knows this architecture.</summary>
    /// <exception cref="InvalidDataException">It has no such model.</exception>
    public virtual GgufArchitecture Gguf =>
        throw new InvalidDataException("This architecture cannot be written as GGUF.");

    /// <summary>Throws if a layout does not exist for this architecture.</summary>
    /// <param name="layout">The layout.</param>
    /// <exception cref="InvalidDataException">It is not in <see cref="Layouts"/>.</exception>
    public void RequireLayout(CheckpointLayout layout)
    {
        if (!Layouts.Contains(layout))
        {
            throw new InvalidDataException(
                layout == CheckpointLayout.Original
                    ? "This architecture has no original layout, only the transformers library's ('hf')."
                    : "This architecture has no layout of the transformers library ('hf'), only the original one."
            );
        }
    }

    /// <summary>Reads a model folder's <c>config.json</c>.</summary>
    /// <exception cref="InvalidDataException">The file is missing, belongs to no family in <see cref="ModelFamilies"/>,
    /// or is inconsistent; the message lists all problems.</exception>
    public static ModelConfig Read(string folder)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            throw new InvalidDataException(
                $"{folder}: there is no {FileName}. A model folder has {FileName}, *.safetensors and the tokenizer's "
                    + "files."
            );
        }

        var json = JsonObject.Create(JsonFile.ReadObject(path))!;
        return ConfigLimits.Check(path, ModelFamilies.Of(path, json).ReadConfig(path, json)) with
        {
            Stored = StoredQuantization.Read(json, out _),
        };
    }

    /// <summary>Creates a model of this architecture on the devices of a plan; its weights are not in memory
    /// yet.</summary>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="plan">Device of each layer; several devices are for inference only.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    /// <exception cref="ArgumentException">The plan has another number of layers.</exception>
    public abstract DecoderModel NewModel(ScalarType type, DevicePlan plan, bool plain = false);

    /// <summary>Creates a model of this architecture on one device; its weights are not in memory yet.</summary>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Device of the model.</param>
    /// <param name="plain">Whether to use plain operators only, without fused kernels.</param>
    public DecoderModel NewModel(ScalarType type, Device device, bool plain = false) =>
        NewModel(type, new DevicePlan((device, LayerCount)), plain);

    /// <summary>The configuration in the form of <paramref name="layout"/>; keys of a source with the same layout are
    /// kept.</summary>
    /// <param name="layout">The layout.</param>
    /// <param name="type">Type of the weights, "bfloat16" or "float32".</param>
    public abstract JsonObject ToJson(CheckpointLayout layout, string type);
}
