using System.Text.RegularExpressions;

namespace GlmTune.Repository.Tests;

/// <summary>Files that others may have made are opened by one class, which never blocks and reads no devices.</summary>
public sealed partial class FileReadingTests
{
    // What reads with .NET's own methods, and why it may.
    private static readonly HashSet<string> Exempt =
    [
        "src/GlmTune.Files/RegularFile.cs", // is the class
        "src/GlmTune.Files/Storage.cs", // flushes files that were just written
        "src/GlmTune.Files/LockOwner.cs", // the system's /proc
        "src/GlmTune.Files/OsLock.cs", // opens a lock; its size is limited where it is read
        "src/GlmTune.Collectives/Launch/DescendantProcesses.cs", // the system's /proc
        "src/GlmTune.Collectives/Launch/IgnoredSignals.cs", // the system's /proc
        "src/GlmTune.Collectives/Stalls/ThreadStates.cs", // the system's /proc
        "src/GlmTune.Files/ProcFile.cs", // the system's /proc
        "src/GlmTune.Kernels/Cuda/CudaLauncher.cs", // the program's own files
        "src/GlmTune.Kernels/Native/PatchedTorchSharpLibrary.cs",
        "src/GlmTune.Recipes/Models/TokenizeText.cs", // may be a pipe: the user names it
        "src/GlmTune.Server/Guards/ApiKeyFile.cs", // may be a pipe: the user names it
    ];

    [Fact]
    public void Source_files_open_files_of_others_through_RegularFile() =>
        Assert.DoesNotContain(
            Checkout.Files,
            file =>
                file.StartsWith("src/", StringComparison.Ordinal)
                && file.EndsWith(".cs", StringComparison.Ordinal)
                && !Exempt.Contains(file)
                && Reading().IsMatch(Checkout.Text(file))
        );

    [GeneratedRegex(
        @"\bFile\.(ReadAll\w+|ReadLines\w*|OpenRead|OpenText)\(|FileMode\.Open,\s*FileAccess\.Read,"
            + @"|new StreamReader\(path"
    )]
    private static partial Regex Reading();
}
