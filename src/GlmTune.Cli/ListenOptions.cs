using System.CommandLine;
using GlmTune.Server;

namespace GlmTune.Cli;

/// <summary>Options of the commands that listen on a port.</summary>
/// <param name="defaults">The default values.</param>
internal sealed class ListenOptions(ServerOptions defaults)
{
    private readonly Option<string> host = new("--host")
    {
        HelpName = "ADDRESS",
        Description = "address to listen on; the default is not reachable from other machines",
        DefaultValueFactory = _ => defaults.Host,
    };
    private readonly Option<int> port = NumberOption.Of(
        "--port",
        "port to listen on; 0 picks a free one",
        defaults.Port,
        0,
        65535
    );
    private readonly Option<string?> keys = new("--api-key-file")
    {
        HelpName = "FILE",
        Description = "API keys, one per line; each request must send one of them",
    };

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { host, port, keys })
        {
            command.Add(option);
        }
    }

    /// <summary>Reads the options.</summary>
    /// <exception cref="InvalidDataException">The key file contains no keys.</exception>
    public ServerOptions Read(ParseResult given) =>
        defaults with
        {
            Host = given.GetRequiredValue(host),
            Port = given.GetRequiredValue(port),
            ApiKeys = given.GetValue(keys) is { } file ? ApiKeyFile.Read(file) : [],
        };
}
