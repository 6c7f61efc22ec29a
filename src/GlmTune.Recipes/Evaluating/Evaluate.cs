using GlmTune.Collectives;
using GlmTune.Data.Preprocessing;
using GlmTune.Data.Templates;
using GlmTune.Data.Tokenization;
using GlmTune.Evaluation;
using GlmTune.Files;
using GlmTune.Inference;
using GlmTune.Model;
using GlmTune.Recipes.Chat;
using GlmTune.Recipes.Models;
using GlmTune.Recipes.Training;
using GlmTune.Training;

namespace GlmTune.Recipes.Evaluating;

/// <summary>Options of an evaluation, beyond those of the recipe.</summary>
public sealed record EvaluateOptions
{
    /// <summary>The split to evaluate. Default: <c>val</c>.</summary>
    public string Split { get; init; } = "val";

    /// <summary>Number of rows to use, from the first; null: as the recipe says.</summary>
    public int? Limit { get; init; }

    /// <summary>Device name as accepted by <see cref="ComputeDevice.Named"/>; null: the recipe's.</summary>
    public string? Device { get; init; }

    /// <summary>Type name as accepted by <see cref="ComputeDevice.TypeNames"/>; null: the recipe's.</summary>
    public string? Type { get; init; }

    /// <summary>How the weights of the layers are stored: nf4, int8 or fp8; null: as the recipe says.</summary>
    public string? Quantization { get; init; }
}

/// <summary>Evaluates a tuned model on one split of its data: loss, perplexity, and scored answers.</summary>
public static class Evaluate
{
    /// <summary>Reads the data, loads the model, evaluates, and writes the results.</summary>
    /// <param name="recipe">The recipe that determines how rows are read and answered.</param>
    /// <param name="dataFolder">Folder with the files that the recipe names.</param>
    /// <param name="path">The model, or the adapter and its base.</param>
    /// <param name="files">Where to write the results.</param>
    /// <param name="options">The split, device and type.</param>
    /// <param name="note">Called with notes for the user.</param>
    /// <param name="progress">Called with the progress.</param>
    /// <param name="stop">Stops the evaluation between two passes; nothing is written then.</param>
    /// <exception cref="InvalidDataException">A file is missing, damaged, or does not match the others.</exception>
    internal static EvaluationReport Run(
        Recipe recipe,
        string dataFolder,
        TunedPath path,
        EvaluationFiles files,
        EvaluateOptions options,
        Action<string>? note = null,
        Action<EvaluationProgress>? progress = null,
        CancellationToken stop = default
    )
    {
        var report = new ProblemReport();
        report.Add(files.FindProblems());
        report.Try(() => TunedModel.Check(path));
        var tokenizer = report.Try(() =>
            TokenizerFile.Read(
                path.AdapterFolder is { } adapter && TokenizerFile.IsIn(adapter) ? adapter : path.ModelFolder
            )
        );
        var generation = report.Try(() => GenerationConfigFile.ReadFolder(path.ModelFolder));
        var split = report.Try(() => FindSplit(recipe, dataFolder, options.Split));
        var data =
            tokenizer is null || split is null
                ? null
                : report.Try(() => ReadRows(split, recipe, tokenizer, options, stop));
        report.Throw();
        foreach (var text in data!.Notes)
        {
            note?.Invoke(text);
        }

        // Loads libtorch, which ranks need.
        var device = ComputeDevice.Named(options.Device ?? (recipe.Training.UseCpu ? "cpu" : null));
        using var alone = new SingleRank();
        var run = new RankedEvaluation(recipe, tokenizer!, data, generation!, new RunRanks(alone));
        var type =
            options.Type
            ?? recipe.Training.Precision switch
            {
                Precision.Float32 => "float32",
                Precision.BFloat16 => "bfloat16",
                _ => null,
            };
        // Like training, unless something else is asked for: the loss that training reports is that of its base.
        var quantization =
            options.Quantization is { } name ? QuantizationNames.ForAnswers(name)
            : recipe.Training.FrozenType is { } frozen ? new Quantization(frozen, Backward: false)
            : null;
        using var model = TunedModel.Load(path, ComputeDevice.TypeNamed(type, device), device, note, quantization);
        return run.Run(model.Model, gathers: false, progress, found => files.Write(found), stop);
    }

    private static EvaluationData ReadRows(
        SplitFile split,
        Recipe recipe,
        Tokenizer tokenizer,
        EvaluateOptions options,
        CancellationToken stop
    ) =>
        EvaluationData.Read(
            split.Path,
            new Glm4Template(tokenizer, recipe.Data.Template),
            split.Rows with
            {
                MaxRows = options.Limit ?? split.Rows.MaxRows,
            },
            answers: true,
            recipe.Data.RowCache ? RowCache.OfUser : null,
            stop
        );

    private static SplitFile FindSplit(Recipe recipe, string folder, string split)
    {
        var (name, rows) = split switch
        {
            "train" => (recipe.Data.TrainFile, recipe.Data.TrainRows),
            "val" => (recipe.Data.ValidationFile, recipe.Data.ValidationRows),
            "test" => (recipe.Data.TestFile, recipe.Data.TestRows),
            _ => throw new ArgumentException(
                $"'{split}' is not a split; expected one of {string.Join(", ", DataFolder.SplitNames)}.",
                nameof(split)
            ),
        };
        if (name is null)
        {
            throw new InvalidDataException(
                $"The recipe names no {split} file; add data_config.{split}_file, or choose another split."
            );
        }

        var file = Path.Combine(folder, name);
        return File.Exists(file)
            ? new SplitFile(file, rows)
            : throw new InvalidDataException(
                $"{file}: file not found; the recipe's data_config names it for '{split}'."
            );
    }

    private sealed record SplitFile(string Path, ExampleOptions Rows);
}
