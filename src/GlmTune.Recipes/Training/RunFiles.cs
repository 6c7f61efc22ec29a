using GlmTune.Files;
using GlmTune.Model;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes.Training;

/// <summary>The files given to a run: recipe, data folder and model.</summary>
internal static class RunFiles
{
    /// <summary>Reads the recipe of a run. If it has problems, the data folder and the model are also checked, so that
    /// one report covers all three; otherwise the run itself checks them.</summary>
    /// <param name="path">Path of the recipe.</param>
    /// <param name="overrides">Settings that override the recipe, each <c>section.key=value</c>.</param>
    /// <param name="dataFolder">Folder with the files that the recipe names.</param>
    /// <param name="model">Model folder, or Hub id of a downloaded model.</param>
    /// <exception cref="FileNotFoundException">The recipe does not exist, and there is no other problem.</exception>
    /// <exception cref="InvalidDataException">There are problems; the message lists them all.</exception>
    public static Recipe ReadRecipe(string path, IReadOnlyList<string> overrides, string dataFolder, string model)
    {
        var report = new ProblemReport();
        Recipe? recipe = null;
        report.Try(() =>
        {
            (recipe, var problems) = RecipeFile.TryRead(path, overrides);
            problems.Throw();
        });
        if (report.IsEmpty)
        {
            return recipe!;
        }

        report.Try(() => ModelFolder.Check(ModelReference.Resolve(model)));
        if (recipe is not null)
        {
            report.Add(WriteProbe.FindProblem(recipe.Training.OutputFolder) is { } unwritable ? [unwritable] : []);
        }

        var data = recipe?.Data ?? new DataOptions { TrainFile = "" };
        report.Try(() => report.Add(DataFolder.FindProblems(data, dataFolder)));
        report.Throw();
        return recipe!;
    }
}
