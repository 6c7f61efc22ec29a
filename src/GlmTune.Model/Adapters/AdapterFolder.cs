using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>An adapter on disk as PEFT saves it: <c>adapter_config.json</c> and
/// <c>adapter_model.safetensors</c>.</summary>
public static class AdapterFolder
{
    private const string Prefix = "base_model.model.";
    private const string PromptEmbeddings = "prompt_embeddings";

    /// <summary>Puts a folder's adapter on a model, whichever kind it is.</summary>
    /// <param name="folder">Adapter folder.</param>
    /// <param name="model">Its base model, in either layout.</param>
    /// <param name="dropout">For LoRA: probability of zeroing an input while training; null: the folder's.</param>
    /// <param name="positions">For a prefix: at which position the first real token stands; automatic: as recorded with
    /// the adapter, else by the model's layout.</param>
    /// <returns>The adapter, trainable; it must outlive its use.</returns>
    /// <exception cref="InvalidDataException">Its files are damaged or do not fit the model; all problems of a file at
    /// once.</exception>
    public static IAdapter Load(
        string folder,
        DecoderModel model,
        double? dropout = null,
        PrefixPositions positions = PrefixPositions.Auto
    ) =>
        AdapterConfigFile.Read(folder).Kind == "LORA"
            ? LoadLora(folder, model, dropout)
            : LoadPrefix(folder, model, positions);

    /// <summary>Puts a folder's LoRA adapter on a model.</summary>
    /// <param name="folder">Adapter folder.</param>
    /// <param name="model">Its base model; adapters of either layout's names fit either layout.</param>
    /// <param name="dropout">Probability of zeroing an input while training; null: the folder's.</param>
    /// <returns>The adapter, trainable; it must outlive its use.</returns>
    /// <exception cref="InvalidDataException">Tensors are missing, left over or misshapen; all problems at
    /// once.</exception>
    public static Lora LoadLora(string folder, DecoderModel model, double? dropout = null)
    {
        var options = AdapterConfigFile.Read(folder).ReadLora();
        using var files = WeightFiles.Open(Path.Combine(folder, WeightFiles.AdapterFile));
        var lora = Lora.Attach(model, options with { Dropout = dropout ?? options.Dropout }, LayoutOf(files));
        try
        {
            LoadInto(files, lora.NamedParameters.ToDictionary(pair => Prefix + pair.Name, pair => pair.Parameter));
            return lora;
        }
        catch
        {
            lora.Detach(model);
            lora.Dispose();
            throw;
        }
    }

    /// <summary>Writes a LoRA adapter.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="lora">The adapter.</param>
    /// <param name="baseModel">Path or hub id of the base model.</param>
    /// <param name="values">Where a parameter's values are, such as the optimizer's float32 copy; null: the adapter's
    /// own.</param>
    /// <param name="type">Type to store.</param>
    public static void SaveLora(
        string folder,
        Lora lora,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32
    )
    {
        Save(
            Path.Combine(folder, WeightFiles.AdapterFile),
            lora.NamedParameters.ToDictionary(pair => Prefix + pair.Name, pair => pair.Parameter),
            values,
            type
        );
        AdapterConfigFile.WriteLora(folder, lora, baseModel);
    }

    /// <summary>Puts a folder's prefix on a model.</summary>
    /// <param name="folder">Adapter folder.</param>
    /// <param name="model">Its base model.</param>
    /// <param name="positions">At which position the first real token stands; automatic: as recorded with the adapter,
    /// else by the model's layout.</param>
    /// <returns>The adapter, trainable: its projection if it was saved with one, else the prefix itself.</returns>
    /// <exception cref="InvalidDataException">Its files are damaged or do not fit the model.</exception>
    public static PrefixTuning LoadPrefix(
        string folder,
        DecoderModel model,
        PrefixPositions positions = PrefixPositions.Auto
    )
    {
        var config = AdapterConfigFile.Read(folder);
        var options = config.ReadPrefix();
        var unprojected = Path.Combine(folder, PrefixRecord.ProjectionFile);
        using var files = WeightFiles.Open(Path.Combine(folder, WeightFiles.AdapterFile));
        var prefix = PrefixTuning.Attach(
            model,
            options with
            {
                // The projected prefix is all that PEFT keeps; without the projection's own file, it is trained on by
                // itself.
                Projection = options.Projection && File.Exists(unprojected),
                Positions = positions == PrefixPositions.Auto ? PrefixRecord.Read(folder) : positions,
            }
        );
        try
        {
            long[] shape = [options.VirtualTokens, 2L * prefix.Options.Layers!.Value * prefix.Options.TokenDim!.Value];
            if (files.Find(PromptEmbeddings) is not { } stored || !stored.Shape.SequenceEqual(shape))
            {
                throw new InvalidDataException(
                    $"{files.Path}: expected '{PromptEmbeddings}' [{string.Join(", ", shape)}] (virtual tokens, layers "
                        + "× 2 × token_dim); found "
                        + $"{string.Join(", ", files.Tensors.Select(found => $"'{found.Name}' [{string.Join(", ", found.Shape)}]"))}. Is this its base model?"
                );
            }

            using var scope = NewDisposeScope();
            prefix.SetPromptEmbeddings(StoredTensors.Read(stored));
            if (prefix.Encoder is { } encoder)
            {
                using var own = WeightFiles.Open(unprojected);
                LoadInto(own, encoder.Parameters.ToDictionary(parameter => parameter.Name));
                encoder.Project();
            }

            return prefix;
        }
        catch
        {
            prefix.Detach(model);
            prefix.Dispose();
            throw;
        }
    }

    /// <summary>Writes a prefix: projected as PEFT keeps it, the projection itself in a file of its own, and which
    /// positions it was trained with.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="prefix">The adapter.</param>
    /// <param name="baseModel">Path or hub id of the base model.</param>
    /// <param name="values">Where a parameter's values are, such as the optimizer's float32 copy; null: the adapter's
    /// own.</param>
    /// <param name="type">Type to store.</param>
    public static void SavePrefix(
        string folder,
        PrefixTuning prefix,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32
    )
    {
        using var scope = NewDisposeScope();
        var embeddings = prefix.PromptEmbeddings(values);
        using (
            var writer = new SafetensorsWriter(
                Path.Combine(folder, WeightFiles.AdapterFile),
                [StoredTensors.Spec(PromptEmbeddings, type, embeddings.shape)],
                SafetensorsWriter.PyTorchFormat
            )
        )
        {
            StoredTensors.WithBytes(
                embeddings,
                type,
                (address, bytes) => writer.Write(PromptEmbeddings, address, bytes)
            );
            writer.Complete();
        }

        if (prefix.Encoder is { } encoder)
        {
            Save(
                Path.Combine(folder, PrefixRecord.ProjectionFile),
                encoder.Parameters.ToDictionary(parameter => parameter.Name),
                values,
                type
            );
        }

        PrefixRecord.Write(folder, prefix.Positions);
        AdapterConfigFile.WritePrefix(folder, prefix, baseModel);
    }

    /// <summary>Copies every tensor of an adapter's file into the parameter of its name.</summary>
    /// <exception cref="InvalidDataException">The two sets differ in names or shapes; all problems at once.</exception>
    internal static void LoadInto(WeightFiles files, IReadOnlyDictionary<string, Parameter> parameters)
    {
        var problems = new List<string>();
        foreach (var stored in files.Tensors)
        {
            if (!parameters.TryGetValue(stored.Name, out var parameter))
            {
                problems.Add($"'{stored.Name}' [{string.Join(", ", stored.Shape)}] belongs to no adapted layer.");
            }
            else if (!stored.Shape.SequenceEqual(parameter.Shape))
            {
                problems.Add(
                    $"'{stored.Name}' is [{string.Join(", ", stored.Shape)}] in the file but "
                        + $"[{string.Join(", ", parameter.Shape)}] in the model."
                );
            }
        }

        problems.AddRange(
            parameters.Keys.Where(name => files.Find(name) is null).Select(name => $"'{name}' is missing.")
        );
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{files.Path}: the adapter does not fit ({problems.Count} problems). Is this its base model?\n  "
                    + string.Join("\n  ", problems)
            );
        }

        foreach (var (name, parameter) in parameters)
        {
            StoredTensors.CopyTo(files[name], parameter.Value);
        }
    }

    /// <summary>Writes an adapter's tensors.</summary>
    internal static void Save(
        string path,
        IReadOnlyDictionary<string, Parameter> parameters,
        Func<Parameter, Tensor>? values,
        ScalarType type
    )
    {
        using var writer = new SafetensorsWriter(
            path,
            [.. parameters.Select(pair => StoredTensors.Spec(pair.Key, type, pair.Value.Shape))],
            SafetensorsWriter.PyTorchFormat
        );
        foreach (var (name, parameter) in parameters)
        {
            StoredTensors.WithBytes(
                values?.Invoke(parameter) ?? parameter.Value,
                type,
                (address, bytes) => writer.Write(name, address, bytes)
            );
        }

        writer.Complete();
    }

    private static CheckpointLayout LayoutOf(WeightFiles files) =>
        files.Tensors.Any(stored => stored.Name.StartsWith($"{Prefix}transformer.", StringComparison.Ordinal))
            ? CheckpointLayout.Original
            : CheckpointLayout.Library;
}
