using GlmTune.Model;
using GlmTune.Recipes.Configuration;
using GlmTune.Recipes.Models;

namespace GlmTune.Recipes.Training;

/// <summary>The files that a run is given: recipe, data folder and model.</summary>
public static class RunFiles
{
    /// <summary>Reads the recipe of a run. Where it has problems, the data and the model are looked at too, so that one
    /// report has the problems of all three; where it has none, the run finds theirs.</summary>
    /// <param name="path">The recipe.</param>
    /// <param name="overrides">Settings that replace the recipe's, each <c>section.key=value</c>.</param>
    /// <param name="dataFolder">Holds the files that the recipe names.</param>
    /// <param name="model">Model folder, or hub id of a downloaded model.</param>
    /// <exception cref="FileNotFoundException">The recipe does not exist, and nothing else is wrong.</exception>
    /// <exception cref="InvalidDataException">There are problems: all of them.</exception>
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

        report.Try(() => ModelConfig.Read(ModelReference.Resolve(model)));
        var data = recipe?.Data ?? new DataOptions { TrainFile = "" };
        report.Try(() =>
            report.Add(
                DataFolder.FindProblems(data.TrainFile.Length > 0 ? data : data with { TrainFile = "." }, dataFolder)
            )
        );
        report.Throw();
        return recipe!;
    }
}
