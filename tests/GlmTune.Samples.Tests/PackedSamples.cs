using System.Diagnostics;

namespace GlmTune.Samples.Tests;

/// <summary>The packages, made of the libraries as they were built, and the samples, built from these packages in a
/// folder of their own beside the data and the model of this repository.</summary>
public sealed class PackedSamples : IAsyncLifetime
{
    // No other build has packages of this version, so none can be used by mistake.
    private const string Version = "0.0.0-test";
    private readonly TemporaryFolder folder = new();

    /// <summary>The folder in which the samples run.</summary>
    public string Root => folder.Path;

    /// <summary>The folder with the packages.</summary>
    public string Packages => folder.At("artifacts", "packages");

    private static string Repository { get; } = Path.GetFullPath(GoldenData.Path("../.."));

    // As in .../bin/Release/net10.0/: the libraries were built in the same way.
    private static string Configuration { get; } =
        Directory.GetParent(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory))!.Name;

    public async ValueTask InitializeAsync()
    {
        await Dotnet(
            "msbuild",
            Path.Combine(Repository, "eng", "pack.proj"),
            "-nologo",
            $"-p:Configuration={Configuration}",
            $"-p:Version={Version}",
            $"-p:PackageOutputPath={Packages}"
        );
        Copy(Path.Combine(Repository, "samples"), folder.At("samples"));
        foreach (var name in (string[])["configs", "data", "models"])
        {
            Directory.CreateSymbolicLink(folder.At(name), Path.Combine(Repository, name));
        }

        // Third-party packages come from where the build of the repository has put them, ours from the folder above.
        await Dotnet(
            "build",
            folder.At("samples", "Samples.slnx"),
            "-nologo",
            "-v:q",
            $"-c:{Configuration}",
            $"-p:GlmTuneVersion={Version}",
            $"-p:RestorePackagesPath={folder.At("restored")}",
            $"-p:RestoreFallbackFolders={PackageCache()}"
        );
    }

    /// <summary>Starts a sample.</summary>
    public Process Start(string sample, params string[] arguments)
    {
        var program = folder.At("samples", sample, "bin", Configuration, "net10.0", $"{sample}.dll");
        return Process.Start(Described([program, .. arguments]))!;
    }

    /// <summary>Runs a sample to its end.</summary>
    /// <returns>Its output.</returns>
    public async Task<string> Run(string sample)
    {
        using var process = Start(sample);
        return await Finish(process);
    }

    public ValueTask DisposeAsync()
    {
        folder.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task Dotnet(params string[] arguments)
    {
        using var process = Process.Start(Described(arguments))!;
        await Finish(process);
    }

    private static async Task<string> Finish(Process process)
    {
        var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return process.ExitCode == 0
            ? output
            : throw new InvalidOperationException(
                $"dotnet {string.Join(' ', process.StartInfo.ArgumentList)} ended with {process.ExitCode}:\n{output}\n"
                    + $"{await error}"
            );
    }

    private ProcessStartInfo Described(string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder.Path,
        };
        // Those of a build that started this program would lead another one astray.
        foreach (
            var name in start
                .Environment.Keys.Where(name => name.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase))
                .ToList()
        )
        {
            start.Environment.Remove(name);
        }

        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["DOTNET_CLI_USE_MSBUILD_SERVER"] = "0";
        return start;
    }

    private static string PackageCache() =>
        Environment.GetEnvironmentVariable("NUGET_PACKAGES") is { Length: > 0 } named
            ? named
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".nuget", "packages");

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.EnumerateFiles(from))
        {
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        }

        foreach (var inner in Directory.EnumerateDirectories(from))
        {
            if (Path.GetFileName(inner) is not ("bin" or "obj"))
            {
                Copy(inner, Path.Combine(to, Path.GetFileName(inner)));
            }
        }
    }
}
