using System.Runtime.InteropServices;

namespace GlmTune.Cli.Setup;

/// <summary>A NuGet package with libtorch's libraries.</summary>
/// <param name="Id">Its name.</param>
/// <param name="Version">Its version, which is that of libtorch.</param>
/// <param name="Platform">Folder of its libraries: <c>runtimes/PLATFORM/native</c>.</param>
/// <param name="Hash">SHA-512 of the package file, in base64. It is part of this program, so a source cannot replace
/// the package.</param>
internal sealed record LibtorchPackage(string Id, string Version, string Platform, string Hash)
{
    private static readonly LibtorchPackage[] OfCpu =
    [
        new(
            "libtorch-cpu-linux-x64",
            "2.10.0",
            "linux-x64",
            "XjuaFwqqvwstyeUWyz/xtfhODesmagoPKO7T0VRmiW+r" + "0pJwsXB/vHydA7it9xge36PSXW1qLyRRzvM3J8i9UA=="
        ),
        new(
            "libtorch-cpu-win-x64",
            "2.10.0",
            "win-x64",
            "qvrEe8b8U1SPnsqShWgJ9gE/UfzFiq+QRPJdAegxwtEB" + "gL/jZPQPvKAhqYkpEe5kb6AXCi840KDqvDaHQuAqEA=="
        ),
        new(
            "libtorch-cpu-osx-arm64",
            "2.10.0",
            "osx-arm64",
            "njbW4NbjnO3UYsZymJA5EA8kvFQZveW2rVS07QinYOxx" + "gs6hyZFTI82zBDt0ix1yRRCZ+v+fm+pHXG37WKjyhA=="
        ),
    ];

    /// <summary>The package for the CPU of this platform.</summary>
    /// <exception cref="InvalidDataException">There is none for it.</exception>
    public static LibtorchPackage ForCpu()
    {
        var system =
            OperatingSystem.IsWindows() ? "win"
            : OperatingSystem.IsMacOS() ? "osx"
            : "linux";
        var platform = $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        return Array.Find(OfCpu, package => package.Platform == platform)
            ?? throw new InvalidDataException(
                $"There is no libtorch package for {platform}; supported are "
                    + $"{string.Join(", ", OfCpu.Select(package => package.Platform))}."
            );
    }

    /// <summary>Name of the package's file.</summary>
    public string FileName => $"{Id}.{Version}.nupkg";
}
