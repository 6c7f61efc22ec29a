using System.Runtime.InteropServices;

namespace GlmTune;

/// <summary>A folder of its own for one test, deleted at its end.</summary>
internal sealed partial class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("glmtune-test-").FullName;

    /// <summary>A path inside; nothing is made.</summary>
    public string At(params string[] names) => System.IO.Path.Combine([Path, .. names]);

    /// <summary>Writes a text file, and the folders above it.</summary>
    public string Write(string name, string text)
    {
        var path = At(name);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return path;
    }

    /// <summary>Makes a named pipe, which nobody writes to: opening it as a file would wait forever.</summary>
    public string Pipe(params string[] names)
    {
        var path = At(names);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        return MakePipe(path, 0b110_000_000) == 0 ? path : throw new IOException($"{path}: no pipe was made.");
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);

    [LibraryImport("libc", EntryPoint = "mkfifo", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MakePipe(string path, uint mode);
}
