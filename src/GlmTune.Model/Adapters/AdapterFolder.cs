using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>Loads and saves adapters in PEFT's format: <c>adapter_config.json</c> and
/// <c>adapter_model.safetensors</c>.</summary>
internal static class AdapterFolder
{
    private const int ProblemsShown = 20;
    private const string PromptEmbeddings = "prompt_embeddings";

    // A configured rank may apply to no layer if patterns override it.
    private const int MostUnusedRank = 4096;

    /// <summary>Loads a folder's adapter, of any kind, onto a model.</summary>
    /// <param name="folder">The adapter folder.</param>
    /// <param name="model">Its base model, in either layout.</param>
    /// <param name="dropout">For LoRA: probability of zeroing an input during training; null: as in the folder.</param>
    /// <param name="positions">For a prefix: position of the first real token; automatic: as recorded with the adapter,
    /// otherwise by the model's layout.</param>
    /// <param name="note">Called with notes for the user.</param>
    /// <returns>The adapter, trainable; it must live as long as it is used.</returns>
    /// <exception cref="InvalidDataException">Files are damaged or do not match the model; the message lists all
    /// problems of a file.</exception>
    public static IAdapter Load(
        string folder,
        DecoderModel model,
        double? dropout = null,
        PrefixPositions positions = PrefixPositions.Auto,
        Action<string>? note = null
    ) =>
        AdapterConfigFile.Read(folder).Kind == "LORA"
            ? LoadLora(folder, model, dropout, note)
            : LoadPrefix(folder, model, positions, note);

    /// <summary>Makes the same checks as <see cref="Load"/> on a model whose weights need not be in memory.</summary>
    /// <param name="folder">The adapter folder.</param>
    /// <param name="model">Its base model; unchanged afterwards, except for which parameters are trainable.</param>
    /// <param name="note">Called with notes for the user.</param>
    /// <exception cref="InvalidDataException">As for <see cref="Load"/>.</exception>
    public static void Check(string folder, DecoderModel model, Action<string>? note = null)
    {
        using var adapter =
            AdapterConfigFile.Read(folder).Kind == "LORA"
                ? (IAdapter)LoadLora(folder, model, dropout: null, note, values: false)
                : LoadPrefix(folder, model, note: note);
        adapter.Detach(model);
    }

    /// <summary>Loads a folder's LoRA adapter onto a model.</summary>
    /// <param name="folder">The adapter folder.</param>
    /// <param name="model">Its base model; adapters with the names of either layout fit both.</param>
    /// <param name="dropout">Probability of zeroing an input during training; null: as in the folder.</param>
    /// <param name="note">Called with notes for the user.</param>
    /// <returns>The adapter, trainable; it must live as long as it is used.</returns>
    /// <exception cref="InvalidDataException">Tensors are missing, unexpected or misshapen; the message lists all
    /// problems.</exception>
    public static Lora LoadLora(
        string folder,
        DecoderModel model,
        double? dropout = null,
        Action<string>? note = null
    ) => LoadLora(folder, model, dropout, note, values: true);

    private static Lora LoadLora(string folder, DecoderModel model, double? dropout, Action<string>? note, bool values)
    {
        var options = AdapterConfigFile.Read(folder).ReadLora();
        using var files = AdapterTensors.Open(folder, note);
        files.CheckLayers();
        CheckRanks(files, options);
        var lora = Lora.Attach(model, options with { Dropout = dropout ?? options.Dropout }, files.Layout);
        try
        {
            var parameters = lora.NamedParameters.ToDictionary(
                pair => AdapterTensors.Prefix + pair.Name,
                pair => pair.Parameter
            );
            Match(files.Path, files.ByName, parameters);
            CheckTied(files, parameters);
            if (values)
            {
                Copy(files.Path, files.ByName, parameters);
            }

            return lora;
        }
        catch
        {
            lora.Detach(model);
            lora.Dispose();
            throw;
        }
    }

    private static void CheckTied(AdapterTensors files, Dictionary<string, Parameter> parameters)
    {
        using var scope = NewDisposeScope();
        foreach (
            var names in parameters.GroupBy(pair => pair.Value, pair => pair.Key).Where(names => names.Count() > 1)
        )
        {
            var stored = names.Select(name => files.ByName[name]).ToList();
            if (!StoredTensors.Read(stored[0]).Equals(StoredTensors.Read(stored[1])))
            {
                throw new InvalidDataException(
                    $"{files.Path}: '{stored[0].Name}' and '{stored[1].Name}' differ, but the base model has "
                        + "one weight for both (tie_word_embeddings). Train it with both in modules_to_save, or "
                        + "untie the base."
                );
            }
        }
    }

    /// <summary>Saves a LoRA adapter.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="lora">The adapter.</param>
    /// <param name="baseModel">Path or Hub id of the base model.</param>
    /// <param name="values">Returns a parameter's values, such as the optimizer's float32 copy; null: the adapter's own
    /// values.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="baseFingerprint">Fingerprint of the base model to record; null: none.</param>
    public static void SaveLora(
        string folder,
        Lora lora,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32,
        string? baseFingerprint = null
    )
    {
        Save(
            Path.Combine(folder, WeightFiles.AdapterFile),
            lora.NamedParameters.ToDictionary(pair => AdapterTensors.Prefix + pair.Name, pair => pair.Parameter),
            values,
            type,
            baseFingerprint
        );
        AdapterConfigFile.WriteLora(folder, lora, baseModel);
    }

    /// <summary>Loads a folder's prefix onto a model.</summary>
    /// <param name="folder">The adapter folder.</param>
    /// <param name="model">Its base model.</param>
    /// <param name="positions">Position of the first real token; automatic: as recorded with the adapter, otherwise by
    /// the model's layout.</param>
    /// <param name="note">Called with notes for the user.</param>
    /// <returns>The adapter, trainable: its projection if one was saved, otherwise the prefix itself.</returns>
    /// <exception cref="InvalidDataException">Files are damaged or do not match the model.</exception>
    public static PrefixTuning LoadPrefix(
        string folder,
        DecoderModel model,
        PrefixPositions positions = PrefixPositions.Auto,
        Action<string>? note = null
    )
    {
        var config = AdapterConfigFile.Read(folder);
        var options = config.ReadPrefix();
        var unprojected = Path.Combine(folder, PrefixRecord.ProjectionFile);
        using var files = AdapterTensors.Open(folder, note);
        if (
            files.ByName.GetValueOrDefault(PromptEmbeddings) is { Shape: [var rows, ..] }
            && rows != options.VirtualTokens
        )
        {
            throw new InvalidDataException(
                $"{files.Path}: '{PromptEmbeddings}' has {rows} rows, but {AdapterConfigFile.FileName} says that "
                    + $"num_virtual_tokens is {options.VirtualTokens}. Are both of the same adapter?"
            );
        }

        var prefix = PrefixTuning.Attach(
            model,
            options with
            {
                // PEFT keeps only the projected prefix; without the file of the projection, the prefix itself is
                // trained.
                Projection = options.Projection && File.Exists(unprojected),
                Positions = positions == PrefixPositions.Auto ? PrefixRecord.Read(folder) : positions,
            }
        );
        try
        {
            long[] shape = [options.VirtualTokens, 2L * prefix.Options.Layers!.Value * prefix.Options.TokenDim!.Value];
            if (
                files.ByName.GetValueOrDefault(PromptEmbeddings) is not { } stored
                || !stored.Shape.SequenceEqual(shape)
            )
            {
                var found = files.ByName.Values.Select(each => $"'{each.Name}' [{string.Join(", ", each.Shape)}]");
                throw new InvalidDataException(
                    $"{files.Path}: expected '{PromptEmbeddings}' [{string.Join(", ", shape)}] (virtual tokens, "
                        + $"layers × 2 × token_dim); found {string.Join(", ", found)}. Is this its base model?"
                );
            }

            using var scope = NewDisposeScope();
            var embeddings = StoredTensors.Read(stored);
            FiniteWeights.Throw(files.Path, [.. new[] { FiniteWeights.Describe(stored, embeddings) }.OfType<string>()]);
            prefix.SetPromptEmbeddings(embeddings);
            if (prefix.Encoder is { } encoder)
            {
                using var own = WeightFiles.Open(unprojected);
                var (stores, parameters) = (
                    own.Tensors.ToDictionary(tensor => tensor.Name),
                    encoder.Parameters.ToDictionary(parameter => parameter.Name)
                );
                Match(own.Path, stores, parameters);
                Copy(own.Path, stores, parameters);
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

    /// <summary>Saves a prefix: projected, as PEFT keeps it, with the projection and the position rule in files of
    /// their own.</summary>
    /// <param name="folder">An existing folder.</param>
    /// <param name="prefix">The adapter.</param>
    /// <param name="baseModel">Path or Hub id of the base model.</param>
    /// <param name="values">Returns a parameter's values, such as the optimizer's float32 copy; null: the adapter's own
    /// values.</param>
    /// <param name="type">Type to store.</param>
    /// <param name="baseFingerprint">Fingerprint of the base model to record; null: none.</param>
    public static void SavePrefix(
        string folder,
        PrefixTuning prefix,
        string? baseModel,
        Func<Parameter, Tensor>? values = null,
        ScalarType type = ScalarType.Float32,
        string? baseFingerprint = null
    )
    {
        using var scope = NewDisposeScope();
        var embeddings = prefix.PromptEmbeddings(values);
        using (
            var writer = new SafetensorsWriter(
                Path.Combine(folder, WeightFiles.AdapterFile),
                [StoredTensors.Spec(PromptEmbeddings, type, embeddings.shape)],
                Metadata(baseFingerprint)
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

    /// <summary>Matches the tensors of an adapter's file with parameters.</summary>
    /// <exception cref="InvalidDataException">The two sets differ in names or shapes; the message lists all
    /// problems.</exception>
    private static void Match(
        string path,
        IReadOnlyDictionary<string, StoredTensor> tensors,
        IReadOnlyDictionary<string, Parameter> parameters
    )
    {
        var problems = new List<string>();
        foreach (var (name, stored) in tensors)
        {
            if (!parameters.TryGetValue(name, out var parameter))
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
            parameters.Keys.Where(name => !tensors.ContainsKey(name)).Select(name => $"'{name}' is missing.")
        );
        if (problems.Count > 0)
        {
            throw new InvalidDataException(
                $"{path}: the adapter does not match the model ({problems.Count} problems). Is this its base model?\n  "
                    + string.Join("\n  ", problems.Take(ProblemsShown))
                    + (problems.Count > ProblemsShown ? $"\n  And {problems.Count - ProblemsShown} more." : "")
            );
        }
    }

    private static void Copy(
        string path,
        IReadOnlyDictionary<string, StoredTensor> tensors,
        IReadOnlyDictionary<string, Parameter> parameters
    )
    {
        var notFinite = new List<string>();
        foreach (var (name, parameter) in parameters)
        {
            // A module that is saved whole replaces a base weight, which may not have been read.
            if (!parameter.IsLoaded)
            {
                parameter.Value = empty(parameter.Shape, parameter.Type, parameter.Device);
            }

            StoredTensors.CopyTo(tensors[name], parameter.Value);
            if (FiniteWeights.Describe(tensors[name], parameter.Value) is { } problem)
            {
                notFinite.Add(problem);
            }
        }

        FiniteWeights.Throw(path, notFinite);
    }

    private static Dictionary<string, string> Metadata(string? baseFingerprint)
    {
        var metadata = new Dictionary<string, string>(SafetensorsWriter.PyTorchFormat);
        if (baseFingerprint is not null)
        {
            metadata[ModelFingerprint.MetadataKey] = baseFingerprint;
        }

        return metadata;
    }

    /// <summary>Writes an adapter's tensors.</summary>
    internal static void Save(
        string path,
        IReadOnlyDictionary<string, Parameter> parameters,
        Func<Parameter, Tensor>? values,
        ScalarType type,
        string? baseFingerprint = null
    )
    {
        using var writer = new SafetensorsWriter(
            path,
            [.. parameters.Select(pair => StoredTensors.Spec(pair.Key, type, pair.Value.Shape))],
            Metadata(baseFingerprint)
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

    // Memory is allocated for the configured ranks, so they are compared with the file first.
    private static void CheckRanks(AdapterTensors files, LoraOptions options)
    {
        var ranks = files
            .ByName.Where(pair => pair.Key.EndsWith(".lora_A.weight", StringComparison.Ordinal))
            .Select(pair => pair.Value.Shape.Length > 0 ? pair.Value.Shape[0] : 0)
            .DefaultIfEmpty(0)
            .ToList();
        var named = options.RankPattern.Select(pair => pair.Value).Append(options.Rank).Max();
        if (named > Math.Max(ranks.Max(), MostUnusedRank))
        {
            throw new InvalidDataException(
                $"{files.Path}: the largest rank of its matrices is {ranks.Max()}, but "
                    + $"{AdapterConfigFile.FileName} names {named}. Are both of the same adapter?"
            );
        }
    }
}
