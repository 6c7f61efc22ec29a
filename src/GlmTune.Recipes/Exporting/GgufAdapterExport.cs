using GlmTune.Files;
using GlmTune.Kernels;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Weights.Gguf;
using static TorchSharp.torch;

namespace GlmTune.Recipes.Exporting;

/// <summary>Writes a LoRA adapter as a GGUF file of its own, to be used with a GGUF file of its base model.</summary>
/// <remarks>llama.cpp adds alpha / r · B·A to a tensor, with one alpha for the whole adapter; what another rank or
/// scale needs is multiplied into B.</remarks>
internal static class GgufAdapterExport
{
    /// <summary>Writes the file: aside, then flushed and renamed.</summary>
    /// <param name="path">The adapter and its base.</param>
    /// <param name="file">Path of the file; an existing one is replaced.</param>
    /// <param name="type">Type of the matrices: F32, F16 or BF16.</param>
    /// <param name="layout">Whether the base's GGUF file has query, key and value as one tensor, as in the original
    /// layout, or three, as in the library's; null: as the adapter's names.</param>
    /// <param name="note">Called with notes about the folders for the user.</param>
    /// <exception cref="InvalidDataException">The adapter is not LoRA, or does more than llama.cpp can
    /// represent.</exception>
    public static GgufReport Run(
        TunedPath path,
        string file,
        GgufType type,
        CheckpointLayout? layout,
        Action<string>? note = null
    )
    {
        NativeRuntime.Load();
        var folder =
            path.AdapterFolder
            ?? throw new InvalidDataException($"{path.ModelFolder}: is a model, not an adapter (--adapter-only).");
        LoadedFolder.Verify(folder, hashes: true, note);
        CheckKind(folder);
        var config = ModelConfig.Read(path.ModelFolder);
        var architecture = config.Gguf;
        config.RequireLayout(layout ?? config.Layout);
        using var model = config.NewModel(ScalarType.Float32, CPU);
        using var lora = AdapterFolder.LoadLora(folder, model, note: note);
        using var scope = NewDisposeScope();
        List<(GgufTensor Tensor, Tensor Values)> tensors = [];
        foreach (var slice in model.Names.Weights(model, layout ?? lora.Layout))
        {
            if (lora.FactorsOf(slice) is not var (a, b))
            {
                continue;
            }

            var name = architecture.TensorName(slice.Name)!;
            if (config.TiedHead && slice.Parameter == model.Embedding.Weight)
            {
                throw new InvalidDataException(
                    $"{folder}: the adapter changes the output head, which is the embedding too in this model "
                        + "(tie_word_embeddings); GGUF has no adapter for that."
                );
            }

            if (
                architecture.WithoutAdapters.FirstOrDefault(end => name.EndsWith(end, StringComparison.Ordinal)) is
                { } end
            )
            {
                throw new InvalidDataException(
                    $"{folder}: the adapter changes '{slice.Name}', and llama.cpp aborts at an adapter on '{end}' in "
                        + $"the architecture '{architecture.Name}'. Leave out --adapter-only to merge it into its base "
                        + $"model."
                );
            }

            tensors.Add((new GgufTensor($"{name}.lora_a", type, a.shape), a));
            var scaled = b.to_type(ScalarType.Float64).Multiply(a.shape[0] / lora.Options.Alpha);
            tensors.Add((new GgufTensor($"{name}.lora_b", type, b.shape), scaled.to_type(ScalarType.Float32)));
        }

        var metadata = new GgufMetadata();
        metadata.Add("general.architecture", architecture.Name);
        metadata.Add("general.type", "adapter");
        metadata.Add("general.name", GgufExport.NameOf(folder));
        metadata.Add("general.file_type", (int)Enum.Parse<GgufFileType>(type.ToString()));
        metadata.Add("adapter.type", "lora");
        metadata.Add("adapter.lora.alpha", (float)lora.Options.Alpha);
        List<GgufTensor> headers = [.. tensors.Select(pair => pair.Tensor)];
        if (WriteProbe.FindProblemOfFile(file, GgufWriter.Length(metadata, headers)) is { } problem)
        {
            throw new InvalidDataException(problem);
        }

        using var writer = new GgufWriter(file, metadata, headers);
        foreach (var (tensor, values) in tensors)
        {
            writer.Write(tensor.Name, GgufExport.Encode(tensor.Name, type, values));
        }

        writer.Complete();
        return new GgufReport(GgufWriter.Length(metadata, headers), [(type, tensors.Count)], []);
    }

    private static void CheckKind(string folder)
    {
        var config = AdapterConfigFile.Read(folder);
        if (config.Kind != "LORA")
        {
            throw new InvalidDataException(
                $"{config.Path}: a prefix cannot be written as GGUF; llama.cpp has LoRA adapters only."
            );
        }

        var options = config.ReadLora();
        var problem =
            options.UseDora ? "DoRA scales the base model's rows (use_dora)"
            : options.ModulesToSave.Count > 0
                ? $"it replaces whole modules (modules_to_save: {string.Join(", ", options.ModulesToSave)})"
            : null;
        if (problem is not null)
        {
            throw new InvalidDataException(
                $"{config.Path}: cannot be written as a GGUF adapter, because {problem}. Leave out --adapter-only to "
                    + "merge it into its base model."
            );
        }
    }
}
