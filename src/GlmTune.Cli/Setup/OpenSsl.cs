using System.Runtime.InteropServices;

namespace GlmTune.Cli.Setup;

/// <summary>OpenSSL, with which .NET computes hashes on Linux. Where it is missing, the runtime ends the process at the
/// first hash, so it is looked for beforehand.</summary>
internal static class OpenSsl
{
    /// <summary>What is wrong, and what to do; null if OpenSSL can be loaded.</summary>
    public static string? Problem { get; } =
        Missing(
            OperatingSystem.IsLinux()
                && Environment.GetEnvironmentVariable("CLR_OPENSSL_VERSION_OVERRIDE") is not { Length: > 0 },
            name => NativeLibrary.TryLoad(name, out _)
        );

    /// <summary>The same for any machine.</summary>
    /// <param name="needed">Whether .NET needs OpenSSL there.</param>
    /// <param name="loads">Whether a library can be loaded.</param>
    public static string? Missing(bool needed, Func<string, bool> loads) =>
        !needed || loads("libssl.so.3") || loads("libssl.so.1.1")
            ? null
            : "OpenSSL was not found (libssl.so.3 or libssl.so.1.1), with which .NET computes hashes. Install it: "
                + "libssl3 (Debian, Ubuntu), openssl-libs (Fedora, RHEL), or a conda environment's openssl on "
                + "LD_LIBRARY_PATH.";
}
