using System.CommandLine;
using GlmTune.Server;

namespace GlmTune.Cli;

/// <summary>Options of a server for the adapters beside its model.</summary>
internal sealed class AdapterOptions
{
    private const int MaxOnDevice = 10_000;

    private readonly Option<int?> max = NumberOption.Optional<int>(
        "--max-loras",
        "max LoRA adapters in the GPU's memory at once; others wait in host memory; default: all",
        1,
        MaxOnDevice
    );

    private readonly Option<string?> root = new("--adapter-root")
    {
        HelpName = "DIR",
        Description = "let clients load adapters below this folder, and unload them; default: not allowed",
    };

    private readonly Option<KeyValuePair<string, string>[]> named = new("--adapter")
    {
        HelpName = "NAME=PATH",
        Description = "adapter folder to serve beside PATH under its own name; repeatable",
        DefaultValueFactory = _ => [],
        CustomParser = result =>
            [
                .. result.Tokens.Select(token =>
                {
                    var split = token.Value.IndexOf('=', StringComparison.Ordinal);
                    if (split < 1 || split == token.Value.Length - 1)
                    {
                        result.AddError($"--adapter: '{token.Value}' does not have the form NAME=PATH.");
                        return default;
                    }

                    return new KeyValuePair<string, string>(token.Value[..split], token.Value[(split + 1)..]);
                }),
            ],
    };

    /// <summary>The option that names adapters to load.</summary>
    public Option<KeyValuePair<string, string>[]> Named => named;

    /// <summary>Adds only <see cref="Named"/> to a command.</summary>
    public void AddNamedTo(Command command) => command.Options.Add(named);

    /// <summary>Adds them to a command.</summary>
    public void AddTo(Command command)
    {
        command.Options.Add(named);
        command.Options.Add(max);
        command.Options.Add(root);
    }

    /// <summary>The adapters to load at the start, by name.</summary>
    /// <param name="given">The command line.</param>
    /// <param name="model">Name of the model.</param>
    /// <exception cref="InvalidDataException">Two names are equal.</exception>
    public IReadOnlyList<KeyValuePair<string, string>> Read(ParseResult given, string model)
    {
        var adapters = given.GetRequiredValue(named);
        return
            adapters
                .Select(adapter => adapter.Key)
                .Append(model)
                .GroupBy(each => each)
                .FirstOrDefault(group => group.Count() > 1)
                is not { } twice
            ? adapters
            : throw new InvalidDataException(
                $"Two models would have the name '{twice.Key}'; choose other names with --adapter "
                    + "NAME=PATH or --name."
            );
    }

    /// <summary>Most LoRA adapters on the device; null: all.</summary>
    public int? Max(ParseResult given) => given.GetValue(max);

    /// <summary>Folder below which adapters may be loaded over HTTP; null: not allowed.</summary>
    public string? Root(ParseResult given) => given.GetValue(root);

    /// <summary>Refuses a folder that does not exist, and strangers who could load from it.</summary>
    /// <exception cref="InvalidDataException">There is no such folder, or a key is needed.</exception>
    public void CheckAccess(ParseResult given, ServerOptions server)
    {
        if (Root(given) is not { } folder)
        {
            return;
        }

        if (!Directory.Exists(folder))
        {
            throw new InvalidDataException($"--adapter-root: there is no folder '{folder}'.");
        }

        if (server.ApiKeys.Count == 0 && (!ServerApp.IsLoopback(server.Host) || server.CorsOrigins.Count > 0))
        {
            throw new InvalidDataException(
                "With --adapter-root, anyone who can reach the server can load and unload adapters. So --cors, and "
                    + "any --host other than this machine, require --api-key-file."
            );
        }
    }
}
