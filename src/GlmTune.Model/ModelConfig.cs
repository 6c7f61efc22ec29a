using System.Text.Json.Nodes;
using GlmTune.Files.Json;
using GlmTune.Kernels.Definitions;
using static TorchSharp.torch;

namespace GlmTune.Model;

/// <summary>The architecture of a decoder model as its <c>config.json</c> describes it: the numbers that every family
/// has. A family adds its own.</summary>
public abstract record ModelConfig
{
    /// <summary>The file's name in a model folder.</summary>
    public const string FileName = "config.json";

    /// <summary>Layout of the file it came from.</summary>
    public required CheckpointLayout Layout { get; init; }

    /// <summary>L.</summary>
    public required int LayerCount { get; init; }

    /// <summary>C.</summary>
    public required int HiddenSize { get; init; }

    /// <summary>F.</summary>
    public required int FeedForwardSize { get; init; }

    /// <summary>H.</summary>
    public required int QueryHeads { get; init; }

    /// <summary>K.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>D.</summary>
    public required int HeadDim { get; init; }

    /// <summary>V: rows of the embedding, padding rows included.</summary>
    public required int VocabularySize { get; init; }

    /// <summary>Of every RMS norm.</summary>
    public required double NormEpsilon { get; init; }

    /// <summary>Base of the rotary angles.</summary>
    public required double RotaryBase { get; init; }

    /// <summary>Share of a head's features that rotate.</summary>
    public double RotaryShare { get; init; } = 0.5;

    /// <summary>Whether the output head projects by the token embedding's table: one weight for both
    /// (<c>tie_word_embeddings</c>).</summary>
    public bool TiedHead { get; init; }

    /// <summary>Longest sequence the model was made for, in tokens.</summary>
    public int MaxPositions { get; init; } = 131072;

    /// <summary>Ids that end an answer.</summary>
    public IReadOnlyList<int> EndTokenIds { get; init; } = [];

    /// <summary>Padding id; null where the file has none.</summary>
    public int? PaddingTokenId { get; init; }

    /// <summary>Everything the file holds, for writing it again.</summary>
    public JsonObject Source { get; init; } = [];

    /// <summary>How a fused query-key-value row is cut.</summary>
    public HeadLayout Heads => new(QueryHeads, KeyValueHeads, HeadDim, (int)(HeadDim * RotaryShare));

    /// <summary>Parameters of the whole model.</summary>
    public abstract long ParameterCount { get; }

    /// <summary>Parameters of one decoder layer.</summary>
    public abstract long ParametersPerLayer { get; }

    /// <summary>The checkpoint layouts that there are for this architecture.</summary>
    public abstract IReadOnlyList<CheckpointLayout> Layouts { get; }

    /// <summary>Complains of a layout that there is not for this architecture.</summary>
    /// <param name="layout">Which layout.</param>
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
    /// <exception cref="InvalidDataException">It is missing, of no family in <see cref="ModelFamilies"/>, or
    /// inconsistent; all problems at once.</exception>
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
        return ConfigLimits.Check(path, ModelFamilies.Of(path, json).ReadConfig(path, json));
    }

    /// <summary>Lays out a model of this architecture on the devices of a plan; weights are not in memory
    /// yet.</summary>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="plan">Where each layer lives; over several devices, for inference only.</param>
    /// <param name="plain">Plain operators only, no fused kernels.</param>
    /// <exception cref="ArgumentException">The plan is for another number of layers.</exception>
    public abstract DecoderModel NewModel(ScalarType type, DevicePlan plan, bool plain = false);

    /// <summary>Lays out a model of this architecture on one device; weights are not in memory yet.</summary>
    /// <param name="type">Type that layers compute in.</param>
    /// <param name="device">Where it lives.</param>
    /// <param name="plain">Plain operators only, no fused kernels.</param>
    public DecoderModel NewModel(ScalarType type, Device device, bool plain = false) =>
        NewModel(type, new DevicePlan((device, LayerCount)), plain);

    /// <summary>The configuration as <paramref name="layout"/> writes it; keys of the same layout's source are
    /// kept.</summary>
    /// <param name="layout">Which layout.</param>
    /// <param name="type">Type of the weights, "bfloat16" or "float32".</param>
    public abstract JsonObject ToJson(CheckpointLayout layout, string type);
}
