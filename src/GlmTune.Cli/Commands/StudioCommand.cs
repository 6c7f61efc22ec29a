using System.CommandLine;
using GlmTune.Cli.Language;
using GlmTune.Collectives;
using GlmTune.Server;
using GlmTune.Studio;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune studio</c>: training from the browser.</summary>
internal static class StudioCommand
{
    public static Command Create(Screen screen)
    {
        var listen = new ListenOptions(new ServerOptions { Port = 8002 });
        var folders = new Argument<string[]>("DIR")
        {
            Arity = ArgumentArity.ZeroOrMore,
            Description = "folders with models and data, searched with their subfolders; default: the working folder",
        };
        var output = new Option<string>("--output")
        {
            HelpName = "DIR",
            Description = "folder for the runs; each gets a folder in it",
            DefaultValueFactory = _ => "output",
        };
        var command = new Command(
            "studio",
            "Fine-tune from the browser: choose model and data, edit the recipe, start, watch, stop, resume and chat. "
                + "Ctrl-C stops the page; runs go on."
        )
        {
            folders,
            output,
        };
        listen.AddTo(command);
        command.SetAction(
            async (given, stop) =>
            {
                string[] roots = given.GetValue(folders) is { Length: > 0 } named ? named : ["."];
                var missing = roots
                    .Where(folder => !Directory.Exists(folder))
                    .Select(folder => $"{folder}: folder not found; expected a folder with models and data.")
                    .ToList();
                if (missing.Count > 0)
                {
                    throw new InvalidDataException(string.Join('\n', missing));
                }

                var options = new StudioOptions
                {
                    WorkingFolder = Directory.GetCurrentDirectory(),
                    Roots = [.. roots.Append(SampleCommand.Source).Where(Directory.Exists).Select(Path.GetFullPath)],
                    Output = Path.GetFullPath(given.GetRequiredValue(output)),
                    Program = LocalLauncher.ThisProgram,
                    Chinese = Catalogue.Chinese.Lines,
                    Server = listen.Read(given),
                };
                var makesKey = options.Server.ApiKeys.Count == 0;
                if (makesKey)
                {
                    options = options with
                    {
                        Server = options.Server with { ApiKeys = [StudioKey.ReadOrMake(options.OwnFolder)] },
                    };
                }

                await ServeCommand
                    .RunAsync(
                        screen,
                        StudioServer.Create(options),
                        options.Server,
                        // What follows the # stays in the browser.
                        url => makesKey ? $"Studio: {url}/#key={options.Server.ApiKeys[0]}" : $"Studio: {url}/",
                        stop
                    )
                    .ConfigureAwait(false);
            }
        );
        return command;
    }
}
