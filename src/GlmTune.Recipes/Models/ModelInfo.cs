using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Weights;

namespace GlmTune.Recipes.Models;

/// <summary>What a folder's weight files hold.</summary>
/// <param name="Files">Number of files.</param>
/// <param name="Tensors">Number of tensors.</param>
/// <param name="Parameters">Elements of all tensors.</param>
/// <param name="Bytes">Bytes of all tensors.</param>
/// <param name="Types">The types that occur, as safetensors names them.</param>
public sealed record WeightSummary(int Files, int Tensors, long Parameters, long Bytes, IReadOnlyList<string> Types)
{
    /// <summary>Reads headers only; null where the folder has no weights that can be read.</summary>
    public static WeightSummary? TryRead(string folder)
    {
        try
        {
            return Read(folder);
        }
        catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Reads headers only; null where the folder has no weights.</summary>
    /// <exception cref="InvalidDataException">Files are damaged or incomplete.</exception>
    public static WeightSummary? Read(string folder)
    {
        if (!Directory.EnumerateFiles(folder, "*.safetensors*").Any())
        {
            return null;
        }

        using var files = WeightFiles.Open(folder);
        return new WeightSummary(
            files.Files.Count,
            files.Count,
            files.Tensors.Sum(tensor => tensor.Spec.ElementCount),
            files.Tensors.Sum(tensor => tensor.ByteCount),
            [.. files.Tensors.Select(tensor => tensor.Type.ToString()).Distinct().Order()]
        );
    }
}

/// <summary>An adapter's own facts.</summary>
/// <param name="Folder">Where it is.</param>
/// <param name="Kind"><c>LORA</c> or <c>PREFIX_TUNING</c>.</param>
/// <param name="NamedBase">The base as its configuration names it.</param>
/// <param name="Lora">Its options, if it is LoRA.</param>
/// <param name="Weights">Its weights, which are what was trained; null where there are none.</param>
public sealed record AdapterInfo(
    string Folder,
    string Kind,
    string? NamedBase,
    LoraOptions? Lora,
    WeightSummary? Weights
);

/// <summary>What is in a model's or an adapter's folder, from its configuration and the headers of its files; loads no
/// weights.</summary>
/// <param name="Folder">The model's folder.</param>
/// <param name="Config">Its architecture.</param>
/// <param name="Weights">Its weights; null where there are none.</param>
/// <param name="HasTokenizer">Whether a tokenizer is there.</param>
/// <param name="Adapter">The adapter, if the path is one.</param>
/// <param name="Problems">Why it cannot be loaded, in the words that loading would use; empty: it can.</param>
/// <param name="Notes">What somebody should know though it is no error.</param>
public sealed record ModelInfo(
    string Folder,
    ModelConfig Config,
    WeightSummary? Weights,
    bool HasTokenizer,
    AdapterInfo? Adapter,
    IReadOnlyList<string> Problems,
    IReadOnlyList<string> Notes
)
{
    /// <summary>Reads it, and makes the checks of loading; loads libtorch.</summary>
    /// <exception cref="InvalidDataException">A configuration is missing, damaged or not supported.</exception>
    public static ModelInfo Read(TunedPath path)
    {
        var folder = path.ModelFolder;
        var config = ModelConfig.Read(folder);
        var adapter = path.AdapterFolder is { } own ? ReadAdapter(own) : null;
        List<string> problems = [];
        List<string> notes = [];
        NativeRuntime.Load();
        Try(() =>
        {
            using var model = ModelFolder.LayOut(folder);
            if (path.AdapterFolder is { } adapterFolder)
            {
                Try(() => AdapterFolder.Check(adapterFolder, model, notes.Add));
            }
        });
        Try(() =>
        {
            var tokens = path.AdapterFolder is { } beside && TokenizerFile.IsIn(beside) ? beside : folder;
            if (TokenizerFile.IsIn(tokens) && new Glm4Template(TokenizerFile.Read(tokens)).Note is { } note)
            {
                notes.Add($"{tokens}: {note}");
            }
        });
        Try(() =>
        {
            _ = GenerationConfigFile.ReadFolder(folder);
            notes.AddRange(GenerationConfigFile.FindNotes(folder));
        });
        return new ModelInfo(
            folder,
            config,
            problems.Count == 0 ? WeightSummary.Read(folder) : WeightSummary.TryRead(folder),
            TokenizerFile.IsIn(folder),
            adapter,
            problems,
            notes
        );

        void Try(Action check)
        {
            try
            {
                check();
            }
            catch (Exception error) when (error is InvalidDataException or IOException or UnauthorizedAccessException)
            {
                problems.Add(error.Message);
            }
        }
    }

    private static AdapterInfo ReadAdapter(string folder)
    {
        var config = AdapterConfigFile.Read(folder);
        return new AdapterInfo(
            folder,
            config.Kind,
            config.BaseModel,
            config.Kind == "LORA" ? config.ReadLora() : null,
            WeightSummary.TryRead(folder)
        );
    }
}
