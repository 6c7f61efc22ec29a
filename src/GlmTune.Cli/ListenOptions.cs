using System.CommandLine;
using GlmTune.Server;

namespace GlmTune.Cli;

/// <summary>The options of commands that listen: where, and to whom.</summary>
/// <param name="defaults">What holds where nothing is given.</param>
internal sealed class ListenOptions(ServerOptions defaults)
{
    private readonly Option<string> host = new("--host")
    {
        HelpName = "ADDRESS",
        Description = "address to listen on; other machines cannot reach the default",
        DefaultValueFactory = _ => defaults.Host,
    };
    private readonly Option<int> port = NumberOption.Of(
        "--port",
        "port to listen on; 0 takes a free one",
        defaults.Port,
        0,
        65535
    );
    private readonly Option<string?> keys = new("--api-key-file")
    {
        HelpName = "FILE",
        Description = "keys, one a line, of which each request must bring one",
    };

    /// <summary>Adds them to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { host, port, keys })
        {
            command.Add(option);
        }
    }

    /// <summary>What was given.</summary>
    /// <exception cref="InvalidDataException">The file of keys has none.</exception>
    public ServerOptions Read(ParseResult given) =>
        defaults with
        {
            Host = given.GetRequiredValue(host),
            Port = given.GetRequiredValue(port),
            ApiKeys = given.GetValue(keys) is { } file ? ApiKeyFile.Read(file) : [],
        };
}
