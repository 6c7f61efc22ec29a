using System.Globalization;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Exporting;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Weights;
using GlmTune.Weights.Gguf;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Exporting;

/// <summary>The contents of a written GGUF file.</summary>
/// <param name="Bytes">Its size.</param>
/// <param name="Types">Number of tensors of each type, the most frequent first.</param>
/// <param name="Notes">Tensors that could not have the type that was asked for, one sentence for each kind.</param>
internal sealed record GgufReport(
    long Bytes,
    IReadOnlyList<(GgufType Type, int Tensors)> Types,
    IReadOnlyList<string> Notes
);

/// <summary>Writes a model, with its adapter merged if it has one, as a GGUF file for llama.cpp and Ollama.</summary>
/// <remarks>Weights are read, merged, converted and written tensor by tensor, at most one of them in memory, in
/// float32. A merged weight is the float32 sum, rounded once.</remarks>
internal sealed class GgufExport : IDisposable
{
    private readonly MergedWeights weights;
    private readonly List<(WeightSlice Slice, GgufTensor With)> tensors = [];
    private readonly List<string> notes = [];
    private readonly GgufMetadata metadata = new();

    private GgufExport(TunedChatFiles files, GgufFileType? type, CheckpointLayout? layout)
    {
        weights = new MergedWeights(files.Path);
        try
        {
            var config = weights.Model.Config;
            var architecture = config.Gguf;
            var names = layout ?? config.Layout;
            config.RequireLayout(names);
            var chosen = type ?? TypeOf(weights.Type);
            Choose(architecture, names, new QuantizationMix(chosen, config.LayerCount, config.TiedHead));
            WriteMetadata(files, config, architecture, chosen);
            Bytes = GgufWriter.Length(metadata, [.. tensors.Select(pair => pair.With)]);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Size of the file, in bytes.</summary>
    public long Bytes { get; }

    /// <summary>Plans a file, after all checks that need no weights.</summary>
    /// <param name="files">The model, and its adapter if any.</param>
    /// <param name="type">Type of the file; null: that of the model's weights.</param>
    /// <param name="layout">Whether query, key and value are one tensor, as in the original layout, or three, as in the
    /// library's; null: as in the model.</param>
    /// <exception cref="InvalidDataException">llama.cpp has no such model; or the adapter cannot be merged.</exception>
    public static GgufExport Plan(TunedChatFiles files, GgufFileType? type, CheckpointLayout? layout)
    {
        MergeAdapter.CheckKind(files.Path);
        var config = ModelConfig.Read(files.Path.ModelFolder);
        if (files.Template.Tokenizer.Count > config.VocabularySize)
        {
            throw new InvalidDataException(
                $"{files.Path.ModelFolder}: the tokenizer has {files.Template.Tokenizer.Count} tokens, but the "
                    + $"embedding only {config.VocabularySize} rows. Are both from the same model?"
            );
        }

        return new GgufExport(files, type, layout);
    }

    /// <summary>Writes the file: aside, then flushed and renamed.</summary>
    /// <param name="path">Path of the file; an existing one is replaced.</param>
    /// <param name="progress">Called with the bytes written so far and in all.</param>
    /// <exception cref="InvalidDataException">Weights are not finite, or do not fit into the type; or a merged weight
    /// is not the expected sum.</exception>
    public GgufReport Write(string path, Action<long, long>? progress = null)
    {
        using var writer = new GgufWriter(path, metadata, [.. tensors.Select(pair => pair.With)]);
        var (done, total) = (0L, tensors.Sum(pair => pair.With.ByteCount));
        weights.Read(
            tensors,
            (slice, tensor, rows) =>
            {
                var bytes = Encode(slice.Name, tensor.Type, rows);
                writer.Write(tensor.Name, bytes);
                progress?.Invoke(done += bytes.Length, total);
            }
        );
        writer.Complete();
        return new GgufReport(
            Bytes,
            [
                .. tensors
                    .CountBy(pair => pair.With.Type)
                    .OrderByDescending(pair => pair.Value)
                    .Select(pair => (pair.Key, pair.Value)),
            ],
            notes
        );
    }

    /// <summary>Unloads the adapter, and closes the model's files.</summary>
    public void Dispose() => weights.Dispose();

    private static GgufFileType TypeOf(ElementType type) =>
        type switch
        {
            ElementType.BF16 => GgufFileType.BF16,
            ElementType.F16 => GgufFileType.F16,
            _ => GgufFileType.F32,
        };

    private void Choose(GgufArchitecture architecture, CheckpointLayout layout, QuantizationMix mix)
    {
        List<(GgufType Type, GgufType InsteadOf, long Length)> changed = [];
        foreach (var slice in weights.Model.Names.Weights(weights.Model, layout))
        {
            var name =
                architecture.TensorName(slice.Name)
                ?? throw new InvalidDataException(
                    $"'{slice.Name}' has no name in GGUF files of the architecture '{architecture.Name}'."
                );
            var (type, insteadOf) = mix.TypeOf(name, slice.Shape);
            tensors.Add((slice, new GgufTensor(name, type, slice.Shape)));
            if (insteadOf is { } wanted)
            {
                changed.Add((type, wanted, slice.Shape[^1]));
            }
        }

        notes.AddRange(
            changed
                .CountBy(each => each)
                .Select(each =>
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"matrices with rows of {each.Key.Length} values are {each.Key.Type} instead of "
                            + $"{each.Key.InsteadOf}, whose blocks have {each.Key.InsteadOf.BlockLength()} values: "
                            + $"{each.Value} of {tensors.Count(pair => pair.Slice.Shape.Length > 1)}"
                    )
                )
        );
    }

    private void WriteMetadata(
        TunedChatFiles files,
        ModelConfig config,
        GgufArchitecture architecture,
        GgufFileType type
    )
    {
        void Add(string key, int value) => metadata.Add($"{architecture.Name}.{key}", value);
        metadata.Add("general.architecture", architecture.Name);
        metadata.Add("general.type", "model");
        metadata.Add("general.name", NameOf(files.Path.AdapterFolder ?? files.Path.ModelFolder));
        metadata.Add("general.file_type", (int)type);
        metadata.Add("general.quantization_version", 2);
        Add("context_length", config.MaxPositions);
        Add("embedding_length", config.HiddenSize);
        Add("block_count", config.LayerCount);
        Add("feed_forward_length", config.FeedForwardSize);
        Add("attention.head_count", config.QueryHeads);
        Add("attention.head_count_kv", config.KeyValueHeads);
        Add("attention.key_length", config.HeadDim);
        Add("attention.value_length", config.HeadDim);
        metadata.Add($"{architecture.Name}.attention.layer_norm_rms_epsilon", (float)config.NormEpsilon);
        Add("rope.dimension_count", config.Heads.RotaryDim);
        metadata.Add($"{architecture.Name}.rope.freq_base", (float)config.RotaryBase);
        Add("vocab_size", config.VocabularySize);
        GgufTokenizer.Write(
            metadata,
            files.Template.Tokenizer,
            architecture.PreTokenizer,
            config.VocabularySize,
            files.Template.ChatTemplate
        );
    }

    /// <summary>The name of a model or adapter: that of its folder.</summary>
    internal static string NameOf(string folder) =>
        Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));

    /// <summary>Converts values to a type.</summary>
    /// <param name="name">Name of the tensor, for messages.</param>
    /// <param name="type">The type.</param>
    /// <param name="values">[…, n], float32, contiguous, on the CPU.</param>
    /// <exception cref="InvalidDataException">Values are not finite, or too large for the type.</exception>
    internal static byte[] Encode(string name, GgufType type, Tensor values)
    {
        MergedWeights.CheckRange(name, values, GgufEncoder.LargestOf(type), $"{type}", "Choose the type bf16 or f32.");
        var count = values.numel();
        var bytes = new byte[count / type.BlockLength() * type.BlockBytes()];
        GgufEncoder.Encode(type, TensorAddress.Of(values), count, bytes);
        return bytes;
    }
}
