using System.CommandLine;
using GlmTune.Server;
using GlmTune.Server.Board;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune board</c>: the training page alone.</summary>
internal static class BoardCommand
{
    public static Command Create(Screen screen)
    {
        var defaults = new ServerOptions { Port = 8001 };
        var folders = new Argument<string[]>("DIR") { Arity = ArgumentArity.OneOrMore, Description = "output folders of training runs, or folders above them" };
        var host = new Option<string>("--host") { HelpName = "ADDRESS", Description = "address to listen on; other machines cannot reach the default", DefaultValueFactory = _ => defaults.Host };
        var port = new Option<int>("--port") { HelpName = "N", Description = "port to listen on; 0 takes a free one", DefaultValueFactory = _ => defaults.Port };
        var keys = new Option<string?>("--api-key-file") { HelpName = "FILE", Description = "keys, one a line, of which each request must bring one" };
        port.Validators.Add(result =>
        {
            if (!result.Errors.Any() && result.GetValueOrDefault<int>() is < 0 or > 65535)
            {
                result.AddError("--port: expected 0 to 65535.");
            }
        });
        var command = new Command("board", "Show training runs in the browser: curves, scores, answers, what differs; until Ctrl-C.") { folders, host, port, keys };
        command.SetAction(async (given, stop) =>
        {
            var shown = given.GetRequiredValue(folders);
            var missing = shown.Where(folder => !Directory.Exists(folder)).Select(folder => $"{folder}: there is no such folder; expected an output folder of training runs, or one above them.").ToList();
            if (missing.Count > 0)
            {
                throw new InvalidDataException(string.Join('\n', missing));
            }

            var options = defaults with { Host = given.GetRequiredValue(host), Port = given.GetRequiredValue(port), ApiKeys = given.GetValue(keys) is { } file ? ApiKeyFile.Read(file) : [] };
            await ServeCommand.RunAsync(screen, RunBoard.CreateServer(shown, options), options, stop).ConfigureAwait(false);
        });
        return command;
    }
}
