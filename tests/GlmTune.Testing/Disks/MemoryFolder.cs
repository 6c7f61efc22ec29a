namespace GlmTune.Testing.Disks;

/// <summary>A folder of its own for one test, deleted at its end; in memory where the system has such a place, since
/// tests of failing disks flush thousands of times.</summary>
internal sealed class MemoryFolder : IDisposable
{
    private const string Memory = "/dev/shm";

    public string Path { get; } =
        Directory.Exists(Memory)
            ? Directory.CreateDirectory($"{Memory}/glmtune-test-{Guid.NewGuid():N}").FullName
            : Directory.CreateTempSubdirectory("glmtune-test-").FullName;

    /// <summary>A path inside; nothing is made.</summary>
    public string At(params string[] names) => System.IO.Path.Combine([Path, .. names]);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
