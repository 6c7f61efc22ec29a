using System.CommandLine;
using GlmTune.Recipes;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune recipe</c>: the recipes that come with the program, and checks of recipes.</summary>
internal static class RecipeCommand
{
    public static Command Create(Screen screen) =>
        new("recipe", "List, show and copy the recipes that come with the program, or check a recipe.")
        {
            List(screen),
            Show(screen),
            Copy(screen),
            Check(screen),
        };

    private static Argument<string> Name() => new("NAME") { Description = "name of a recipe; see glmtune recipe ls" };

    private static Command List(Screen screen)
    {
        var command = new Command("ls", "List the recipes that come with the program.");
        command.SetAction(_ =>
        {
            var width = ShippedRecipes.All.Max(recipe => recipe.Name.Length);
            foreach (var recipe in ShippedRecipes.All)
            {
                screen.Output.WriteLine($"{recipe.Name.PadRight(width)}  {recipe.Summary}");
            }
        });
        return command;
    }

    private static Command Show(Screen screen)
    {
        var name = Name();
        var command = new Command("show", "Print a recipe with its comments.") { name };
        command.SetAction(given => screen.Output.Write(ShippedRecipes.Named(given.GetRequiredValue(name)).Text));
        return command;
    }

    private static Command Copy(Screen screen)
    {
        var name = Name();
        var file = new Argument<string>("FILE")
        {
            Description = "new file, or a folder; default: NAME.yaml in the working folder",
            DefaultValueFactory = _ => ".",
        };
        var command = new Command("copy", "Copy a recipe, and the DeepSpeed file that it names, to edit it.")
        {
            name,
            file,
        };
        command.SetAction(given =>
        {
            var recipe = ShippedRecipes.Named(given.GetRequiredValue(name));
            foreach (var written in ShippedRecipes.Copy(recipe, given.GetRequiredValue(file)))
            {
                screen.Output.WriteLine(written);
            }
        });
        return command;
    }

    private static Command Check(Screen screen)
    {
        var (config, set) = (Arguments.Config(), Arguments.Set());
        var data = new Option<string?>("--data")
        {
            HelpName = "DIR",
            Description = "also check the data files; with --model, every row as training reads it",
        };
        var model = new Option<string?>("--model")
        {
            HelpName = "MODEL",
            Description = "also check that the model fits the recipe: a model folder or a Hub id",
        };
        var command = new Command(
            "check",
            "Check a recipe as training does, and report all problems at once. Exit code 2 if there are any."
        )
        {
            config,
            data,
            model,
            set,
        };
        command.SetAction(
            (given, stop) =>
            {
                var path = given.GetRequiredValue(config);
                var (problems, notes) = CheckRecipe.Run(
                    path,
                    given.GetRequiredValue(set),
                    given.GetValue(data),
                    given.GetValue(model),
                    stop
                );
                foreach (var note in notes)
                {
                    screen.Error.WriteLine($"note: {note}");
                }

                foreach (var problem in problems)
                {
                    screen.Error.WriteLine(problem);
                }

                if (problems.Count == 0)
                {
                    screen.Lines.WriteLine($"{path}: no problems");
                }

                return Task.FromResult(problems.Count == 0 ? ExitCode.Done : ExitCode.Users);
            }
        );
        return command;
    }
}
