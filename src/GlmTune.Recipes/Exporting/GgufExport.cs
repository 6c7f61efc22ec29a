using System.Globalization;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
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
    private const long ValuesAtATime = 1 << 24;

    private readonly StoredModel stored;
    private readonly Lora? lora;
    private readonly List<(WeightSlice Slice, GgufTensor Tensor)> tensors = [];
    private readonly List<string> notes = [];
    private readonly GgufMetadata metadata = new();

    private GgufExport(TunedChatFiles files, GgufFileType? type, CheckpointLayout? layout)
    {
        stored = StoredModel.Open(files.Path.ModelFolder);
        try
        {
            var (model, config) = (stored.Model, stored.Model.Config);
            var architecture = config.Gguf;
            var names = layout ?? config.Layout;
            config.RequireLayout(names);
            lora = files.Path.AdapterFolder is { } adapter ? AdapterFolder.LoadLora(adapter, model) : null;
            lora?.CheckMergeable(model);
            var chosen = type ?? TypeOf(stored.Type);
            Choose(architecture, names, new QuantizationMix(chosen, config.LayerCount, config.TiedHead));
            WriteMetadata(files, config, architecture, chosen);
            Bytes = GgufWriter.Length(metadata, [.. tensors.Select(pair => pair.Tensor)]);
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
        NativeRuntime.Load();
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
        using var writer = new GgufWriter(path, metadata, [.. tensors.Select(pair => pair.Tensor)]);
        var (done, total) = (0L, tensors.Sum(pair => pair.Tensor.ByteCount));
        foreach (var parts in tensors.GroupBy(pair => pair.Slice.Parameter))
        {
            using var scope = NewDisposeScope();
            var parameter = parts.Key;
            if (lora?.Changes(parameter) == true)
            {
                stored.Load(parameter);
            }

            // Modules that an adapter saves whole are in memory since it was loaded.
            var value = lora?.MergedValue(parameter) ?? (parameter.IsLoaded ? parameter.Value : null);
            foreach (var (slice, tensor) in parts)
            {
                WriteTensor(slice, tensor, value, writer, bytes => progress?.Invoke(done += bytes, total));
            }

            parameter.Release();
        }

        writer.Complete();
        return new GgufReport(
            Bytes,
            [
                .. tensors
                    .CountBy(pair => pair.Tensor.Type)
                    .OrderByDescending(pair => pair.Value)
                    .Select(pair => (pair.Key, pair.Value)),
            ],
            notes
        );
    }

    /// <summary>Unloads the adapter, and closes the model's files.</summary>
    public void Dispose()
    {
        lora?.Dispose();
        stored.Dispose();
    }

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
        foreach (var slice in stored.Model.Names.Weights(stored.Model, layout))
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

    private void WriteTensor(
        WeightSlice slice,
        GgufTensor tensor,
        Tensor? value,
        GgufWriter writer,
        Action<long> written
    )
    {
        var width = slice.Parameter.Count / slice.Parameter.Shape[0];
        var most = Math.Min(slice.Rows, Math.Max(1, ValuesAtATime / width));
        using var values = empty([most, .. slice.Shape[1..]], ScalarType.Float32, CPU);
        for (long first = 0, rows; first < slice.Rows; first += rows)
        {
            using var scope = NewDisposeScope();
            rows = Math.Min(most, slice.Rows - first);
            var piece = values.narrow(0, 0, rows);
            if (value is null)
            {
                stored.ReadRows(slice.Parameter, slice.FirstRow + first, piece);
            }
            else
            {
                piece.copy_(value.narrow(0, slice.FirstRow + first, rows));
            }

            var bytes = Encode(slice.Name, tensor.Type, piece);
            writer.Write(tensor.Name, bytes);
            written(bytes.Length);
        }
    }

    /// <summary>Converts values to a type.</summary>
    /// <param name="name">Name of the tensor, for messages.</param>
    /// <param name="type">The type.</param>
    /// <param name="values">[…, n], float32, contiguous, on the CPU.</param>
    /// <exception cref="InvalidDataException">Values are not finite, or too large for the type.</exception>
    internal static byte[] Encode(string name, GgufType type, Tensor values)
    {
        using var scope = NewDisposeScope();
        var largest = values.abs().max().item<float>();
        if (!(largest <= GgufEncoder.LargestOf(type)))
        {
            throw new InvalidDataException(
                float.IsFinite(largest)
                    ? string.Create(
                        CultureInfo.InvariantCulture,
                        $"'{name}' has values up to {largest:G3}, which {type} cannot hold. Nothing was written. "
                            + $"Choose the type bf16 or f32."
                    )
                    : $"'{name}' has values that are not finite. Nothing was written. Did the training that wrote them "
                        + "diverge?"
            );
        }

        var count = values.numel();
        var bytes = new byte[count / type.BlockLength() * type.BlockBytes()];
        GgufEncoder.Encode(type, TensorAddress.Of(values), count, bytes);
        return bytes;
    }
}
