using System.CommandLine;
using GlmTune.Server;
using GlmTune.Server.Board;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune board</c>: serves only the training page.</summary>
internal static class BoardCommand
{
    public static Command Create(Screen screen)
    {
        var listen = new ListenOptions(new ServerOptions { Port = 8001 });
        var folders = new Argument<string[]>("DIR")
        {
            Arity = ArgumentArity.OneOrMore,
            Description = "output folders of training runs, or their parent folders",
        };
        var command = new Command(
            "board",
            "Show training runs in the browser: curves, scores, answers, differing settings. Ctrl-C stops."
        )
        {
            folders,
        };
        listen.AddTo(command);
        command.SetAction(
            async (given, stop) =>
            {
                var shown = given.GetRequiredValue(folders);
                var missing = shown
                    .Where(folder => !Directory.Exists(folder))
                    .Select(folder =>
                        $"{folder}: folder not found; expected an output folder of training runs, or a "
                        + "parent folder."
                    )
                    .ToList();
                if (missing.Count > 0)
                {
                    throw new InvalidDataException(string.Join('\n', missing));
                }

                var options = listen.Read(given);
                await ServeCommand
                    .RunAsync(
                        screen,
                        RunBoard.CreateServer(shown, options),
                        options,
                        url => $"Training runs: {url}/runs",
                        stop
                    )
                    .ConfigureAwait(false);
            }
        );
        return command;
    }
}
