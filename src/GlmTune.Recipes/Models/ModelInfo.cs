using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Inference;
using GlmTune.Kernels.Native;
using GlmTune.Model;
using GlmTune.Model.Adapters;
using GlmTune.Recipes.Chat;
using GlmTune.Weights;

namespace GlmTune.Recipes.Models;

/// <summary>Contents of a folder's weight files.</summary>
/// <param name="Files">Number of files.</param>
/// <param name="Tensors">Number of tensors.</param>
/// <param name="Parameters">Total number of elements.</param>
/// <param name="Bytes">Total number of bytes.</param>
/// <param name="Types">The element types, as safetensors names them.</param>
internal sealed record WeightSummary(int Files, int Tensors, long Parameters, long Bytes, IReadOnlyList<string> Types)
{
    /// <summary>Reads headers only; null if the folder has no readable weights.</summary>
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

    /// <summary>Reads headers only; null if the folder has no weights.</summary>
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

/// <summary>Details of an adapter.</summary>
/// <param name="Folder">The adapter folder.</param>
/// <param name="Kind"><c>LORA</c> or <c>PREFIX_TUNING</c>.</param>
/// <param name="NamedBase">The base model that its configuration names.</param>
/// <param name="Lora">LoRA options; null for other kinds.</param>
/// <param name="Weights">The trained weights; null if there are none.</param>
internal sealed record AdapterInfo(
    string Folder,
    string Kind,
    string? NamedBase,
    LoraOptions? Lora,
    WeightSummary? Weights
);

/// <summary>Contents of a model or adapter folder, from its configuration and file headers; weights are not
/// loaded.</summary>
/// <param name="Folder">The model's folder.</param>
/// <param name="Config">Its architecture.</param>
/// <param name="Weights">Its weights; null if there are none.</param>
/// <param name="HasTokenizer">Whether the folder has a tokenizer.</param>
/// <param name="Adapter">The adapter; null if the path is a model.</param>
/// <param name="Problems">Why it cannot be loaded, in the same words as loading; empty if it can.</param>
/// <param name="Notes">Notes for the user.</param>
internal sealed record ModelInfo(
    string Folder,
    ModelConfig Config,
    WeightSummary? Weights,
    bool HasTokenizer,
    AdapterInfo? Adapter,
    IReadOnlyList<string> Problems,
    IReadOnlyList<string> Notes
)
{
    /// <summary>Reads the folder and makes the same checks as loading; loads libtorch.</summary>
    /// <exception cref="InvalidDataException">A configuration is missing, damaged or not supported.</exception>
    public static ModelInfo Read(TunedPath path)
    {
        var folder = path.ModelFolder;
        var config = ModelConfig.Read(folder);
        var adapter = path.AdapterFolder is { } own ? ReadAdapter(own) : null;
        List<string> problems = [];
        List<string> notes = [];
        foreach (var each in path.Folders)
        {
            Try(() => LoadedFolder.Verify(each, hashes: false, notes.Add));
        }

        Try(() =>
        {
            if (path.AdapterFolder is { } tuned && BaseCheck.FindDifference(tuned, folder) is { } difference)
            {
                notes.Add(difference);
            }
        });
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
            problems.Count > 0 ? WeightSummary.TryRead(folder)
                // Codes and scales are not parameters.
                : config.Stored is not null && WeightSummary.Read(folder) is { } packed
                    ? packed with
                    {
                        Parameters = config.ParameterCount,
                    }
                : WeightSummary.Read(folder),
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
