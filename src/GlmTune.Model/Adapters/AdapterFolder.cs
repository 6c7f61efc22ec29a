using GlmTune.Model.Glm4;
using GlmTune.Model.Layers;
using GlmTune.Weights;
using static TorchSharp.torch;

namespace GlmTune.Model.Adapters;

/// <summary>An adapter on disk as PEFT saves it: <c>adapter_config.json</c> and <c>adapter_model.safetensors</c>.</summary>
public static class AdapterFolder
{
    private const string Prefix = "base_model.model.";

    /// <summary>Puts a folder's LoRA adapter on a model.</summary>
    /// <param name="folder">Adapter folder.</param>
    /// <param name="model">Its base model; adapters of either layout's names fit either layout.</param>
    /// <param name="dropout">Probability of zeroing an input while training; null: the folder's.</param>
    /// <returns>The adapter, trainable; it must outlive its use.</returns>
    /// <exception cref="InvalidDataException">Tensors are missing, left over or misshapen; all problems at once.</exception>
    public static Lora LoadLora(string folder, Glm4Model model, double? dropout = null)
    {
        var options = AdapterConfigFile.Read(folder).ReadLora();
        using var files = WeightFiles.Open(Path.Combine(folder, WeightFiles.AdapterFile));
        var lora = Lora.Attach(model, options with { Dropout = dropout ?? options.Dropout }, LayoutOf(files));
        try
        {
            LoadInto(files, lora.Parameters.ToDictionary(parameter => Prefix + parameter.Name));
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
    /// <param name="values">Where a parameter's values are, such as the optimizer's float32 copy; null: the adapter's own.</param>
    /// <param name="type">Type to store.</param>
    public static void SaveLora(
        string folder, Lora lora, string? baseModel, Func<Parameter, Tensor>? values = null, ScalarType type = ScalarType.Float32)
    {
        Save(folder, lora.Parameters.ToDictionary(parameter => Prefix + parameter.Name), values, type);
        AdapterConfigFile.WriteLora(folder, lora, baseModel);
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
                problems.Add($"'{stored.Name}' is [{string.Join(", ", stored.Shape)}] in the file but [{string.Join(", ", parameter.Shape)}] in the model.");
            }
        }
        problems.AddRange(parameters.Keys.Where(name => files.Find(name) is null).Select(name => $"'{name}' is missing."));
        if (problems.Count > 0)
        {
            throw new InvalidDataException($"{files.Path}: the adapter does not fit ({problems.Count} problems). Is this its base model?\n  " + string.Join("\n  ", problems));
        }
        foreach (var (name, parameter) in parameters)
        {
            StoredTensors.CopyTo(files[name], parameter.Value);
        }
    }

    /// <summary>Writes an adapter's tensors.</summary>
    internal static void Save(
        string folder, IReadOnlyDictionary<string, Parameter> parameters, Func<Parameter, Tensor>? values, ScalarType type)
    {
        var path = Path.Combine(folder, WeightFiles.AdapterFile);
        using var writer = new SafetensorsWriter(
            path, [.. parameters.Select(pair => StoredTensors.Spec(pair.Key, type, pair.Value.Shape))], SafetensorsWriter.PyTorchFormat);
        foreach (var (name, parameter) in parameters)
        {
            StoredTensors.WithBytes(values?.Invoke(parameter) ?? parameter.Value, type, (address, bytes) => writer.Write(name, address, bytes));
        }
        writer.Complete();
    }

    private static CheckpointLayout LayoutOf(WeightFiles files)
        => files.Tensors.Any(stored => stored.Name.StartsWith($"{Prefix}transformer.", StringComparison.Ordinal))
            ? CheckpointLayout.Original
            : CheckpointLayout.Library;
}
