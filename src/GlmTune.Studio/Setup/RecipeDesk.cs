using GlmTune.Files;
using GlmTune.Recipes;
using GlmTune.Recipes.Forms;
using GlmTune.Studio.Choices;

namespace GlmTune.Studio.Setup;

/// <summary>A recipe that can be started from.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Summary">What it is for.</param>
/// <param name="Text">The YAML.</param>
internal sealed record RecipeChoice(string Name, string Summary, string Text);

/// <summary>A recipe in work: its text, what the form shows of it, and what is wrong with it.</summary>
/// <param name="Text">The YAML.</param>
/// <param name="Values">Values by full name of the key.</param>
/// <param name="Problems">One line each.</param>
/// <param name="Notes">One line each.</param>
internal sealed record RecipeView(
    string Text,
    IReadOnlyDictionary<string, string> Values,
    IReadOnlyList<string> Problems,
    IReadOnlyList<string> Notes
);

/// <summary>Reads and changes the recipe that is being written.</summary>
/// <param name="paths">The folders of the studio.</param>
internal sealed class RecipeDesk(StudioPaths paths)
{
    private const string FileName = "recipe.yaml";

    /// <summary>The recipes that come with the program.</summary>
    public static IReadOnlyList<RecipeChoice> Shipped { get; } =
    [.. ShippedRecipes.All.Select(recipe => new RecipeChoice(recipe.Name, recipe.Summary, recipe.Text))];

    /// <summary>Puts the DeepSpeed files that shipped recipes name where they are looked for.</summary>
    public void Prepare()
    {
        foreach (var (name, text) in ShippedRecipes.DeepSpeedFiles)
        {
            AtomicFile.WriteText(Path.Combine(paths.Options.OwnFolder, "configs", name), text);
        }
    }

    /// <summary>Changes keys of a recipe, and reads it.</summary>
    /// <param name="text">The YAML.</param>
    /// <param name="set">Keys to set; null removes a key.</param>
    public RecipeView View(string text, IReadOnlyDictionary<string, string?> set)
    {
        var refused = new List<string>();
        foreach (var (key, value) in set)
        {
            try
            {
                text = YamlText.Set(text, key, value);
            }
            catch (InvalidDataException error)
            {
                refused.Add(error.Message);
            }
        }

        var (recipe, problems) = Read(text);
        return new RecipeView(text, YamlText.Values(text), [.. refused, .. problems], recipe?.Notes ?? []);
    }

    /// <summary>Reads a recipe, and finds all that is wrong with it, paths outside of the studio included.</summary>
    public (Recipe? Recipe, IReadOnlyList<string> Problems) Read(string text)
    {
        // Before it is opened.
        if (
            YamlText.Values(text).GetValueOrDefault("training_args.deepspeed") is { } plan
            && Path.Exists(paths.FullPath(plan))
            && !paths.Contains(paths.FullPath(plan))
        )
        {
            return (null, [$"'training_args.deepspeed' is '{plan}', which is outside of the folders of this studio."]);
        }

        var (recipe, problems) = RecipeFile.TryReadText(text, Path.Combine(paths.Options.OwnFolder, FileName));
        return (recipe, recipe is null ? problems.Lines : [.. problems.Lines, .. paths.FindProblems(recipe)]);
    }

    /// <summary>Reads a recipe that must be right.</summary>
    /// <exception cref="InvalidDataException">It has problems; the message has one line for each.</exception>
    public Recipe ReadWhole(string text)
    {
        var (recipe, problems) = Read(text);
        return problems.Count == 0 ? recipe! : throw new InvalidDataException(string.Join('\n', problems));
    }
}
