using GlmTune.Data.Conversations;
using GlmTune.Data.Tokenization;
using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes;

/// <summary>Checks a recipe as training does before its first step, without training: keys, values and conflicts; with
/// a model, whether it fits the recipe; with data, every row.</summary>
internal static class CheckRecipe
{
    /// <summary>Checks a recipe.</summary>
    /// <param name="path">The YAML file.</param>
    /// <param name="overrides">Settings that override it.</param>
    /// <param name="dataFolder">Folder with the files that it names; null: not checked.</param>
    /// <param name="model">Model folder or Hub id; null: not checked.</param>
    /// <param name="stop">Cancels the check.</param>
    /// <returns>All problems and notes.</returns>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static (IReadOnlyList<string> Problems, IReadOnlyList<string> Notes) Run(
        string path,
        IReadOnlyList<string> overrides,
        string? dataFolder,
        string? model,
        CancellationToken stop
    )
    {
        var report = new ProblemReport();
        Recipe? recipe = null;
        report.Try(() =>
        {
            (recipe, var problems) = RecipeFile.TryRead(path, overrides);
            problems.Throw();
        });
        var folder = model is null ? null : report.Try(() => ModelReference.Resolve(model));
        var config = folder is null ? null : report.Try(() => ModelFolder.Check(folder));
        if (recipe is not null)
        {
            report.Add(WriteProbe.FindProblem(recipe.Training.OutputFolder) is { } unwritable ? [unwritable] : []);
            if (config is not null)
            {
                report.Try(() => RecipeChecks.CheckRanks(recipe, config, 1));
            }
        }

        if (dataFolder is not null)
        {
            var data = recipe?.Data ?? new DataOptions { TrainFile = "" };
            var tokenizer = folder is null ? null : report.Try(() => TokenizerFile.Read(folder));
            if (tokenizer is null || recipe is null)
            {
                report.Try(() => report.Add(DataFolder.FindProblems(data, dataFolder)));
            }
            else
            {
                report.Try(() => CheckRows(recipe, dataFolder, tokenizer, report, stop));
            }
        }

        return (report.Problems, recipe?.Notes ?? []);
    }

    private static void CheckRows(
        Recipe recipe,
        string folder,
        Tokenizer tokenizer,
        ProblemReport report,
        CancellationToken stop
    )
    {
        var (splits, missing) = DataFolder.Check(recipe.Data, folder, tokenizer, stop);
        report.Add(missing);
        foreach (var (split, found) in splits)
        {
            if (recipe.Data.TrainRows.BadRows == BadRows.Error)
            {
                report.Add(
                    FoldedProblems.Lines(
                        found.Findings.Where(finding => finding.IsError).Select(finding => finding.Problem)
                    )
                );
            }

            if (found.UsableRows == 0)
            {
                report.Add([$"{split.File}: has no row that can be used."]);
            }
        }
    }
}
