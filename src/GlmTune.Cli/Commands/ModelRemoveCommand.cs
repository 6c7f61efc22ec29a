using System.CommandLine;
using GlmTune.Files;
using GlmTune.Hub;
using GlmTune.Hub.Caches;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune model rm</c>: deletes a downloaded model.</summary>
internal static class ModelRemoveCommand
{
    public static Command Create(Screen screen)
    {
        var name = new Argument<string>("NAME")
        {
            Description = "OWNER/NAME (all its revisions), or OWNER/NAME@REVISION; see glmtune model list",
        };
        var yes = new Option<bool>("--yes") { Description = "do not ask" };
        var command = new Command("rm", "Delete a downloaded model from the caches.") { name, yes };
        command.SetAction(given =>
        {
            var hub = HubName.Parse(given.GetRequiredValue(name));
            var found = ModelCaches.FromEnvironment().Named(hub);
            if (found.Count == 0)
            {
                throw new InvalidDataException($"{hub}: not downloaded. `glmtune model list` lists what is.");
            }

            foreach (var model in found)
            {
                screen.Lines.WriteLine($"{model.Name}: {WriteProbe.Size(model.Bytes)} in {model.Folder}");
            }

            if (!given.GetValue(yes) && !IsConfirmed(screen))
            {
                screen.Error.WriteLine("Nothing was deleted.");
                return ExitCode.Users;
            }

            foreach (var model in found)
            {
                ModelCaches.Remove(model);
            }

            screen.Lines.WriteLine("deleted");
            return ExitCode.Done;
        });
        return command;
    }

    private static bool IsConfirmed(Screen screen)
    {
        if (!screen.InputIsTyped)
        {
            screen.Error.WriteLine("To delete without a question, add --yes.");
            return false;
        }

        screen.Lines.Write("Delete? y (yes), n (no): ");
        return screen.Input.ReadLine()?.Trim().ToUpperInvariant() is "Y" or "YES";
    }
}
