using System.CommandLine;
using GlmTune.Cli.Setup;
using GlmTune.Files;
using GlmTune.Kernels.Native;

namespace GlmTune.Cli.Commands;

/// <summary><c>glmtune setup libtorch</c>: fetches libtorch for the CPU where there is none.</summary>
internal static class SetupCommand
{
    public static Command Create(Screen screen) =>
        new("setup", "Fetch what the program needs on this machine.") { Libtorch(screen) };

    private static Command Libtorch(Screen screen)
    {
        var source = new Option<string?>("--source")
        {
            HelpName = "SOURCE",
            Description =
                "NuGet source (an index.json), or a folder with the package; default: the sources of NuGet's "
                + "configuration",
        };
        var command = new Command(
            "libtorch",
            "Fetch libtorch for the CPU as a NuGet package, check its hash, and unpack it where it is found."
        )
        {
            source,
        };
        command.SetAction(
            async (given, stop) =>
            {
                var package = LibtorchPackage.ForCpu();
                var target = Path.Combine(
                    NativeRuntime.FetchedFolder
                        ?? throw new InvalidDataException(
                            "No home folder is known, so there is no place for libtorch. Set XDG_CACHE_HOME to a "
                                + "writable folder."
                        ),
                    $"cpu-{package.Version}"
                );
                if (Directory.Exists(target))
                {
                    screen.Lines.WriteLine($"{target}: already exists");
                    return;
                }

                var sources = given.GetValue(source) is { } named
                    ? [HomePath.Expand(named)]
                    : NuGetSources.Of(NuGetSources.UserSettings());
                using var client = new HttpClient();
                var last = -1L;
                void Show(long done, long? total)
                {
                    var tens = done / 10_000_000;
                    if (screen.IsTerminal && tens != last)
                    {
                        screen.Error.Write(
                            $"\r{WriteProbe.Size(done)}{(total is { } all ? $" of {WriteProbe.Size(all)}" : "")}   "
                        );
                    }

                    last = tens;
                }

                await new LibtorchFetch(client, Show)
                    .RunFromFirstAsync(package, sources, target, stop)
                    .ConfigureAwait(false);
                if (screen.IsTerminal)
                {
                    screen.Error.WriteLine();
                }

                screen.Lines.WriteLine($"{target}: libtorch {package.Version} for the CPU");
            }
        );
        return command;
    }
}
