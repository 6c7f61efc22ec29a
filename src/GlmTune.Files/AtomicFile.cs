using System.Text;
using System.Text.Json;

namespace GlmTune.Files;

/// <summary>Writes files atomically: a reader sees the old content or the new, never a mixture, even if the process is
/// killed.</summary>
/// <remarks>The bytes go to a hidden file beside the target with the extension <c>.tmp</c>, which is flushed to disk
/// and renamed; then the folder is flushed. Two processes that write the same file do not disturb each other: the last
/// rename wins.</remarks>
internal static class AtomicFile
{
    private const int BufferBytes = 1 << 16;
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    /// <summary>Writes text as UTF-8 without a byte order mark.</summary>
    public static void WriteText(string path, string text) => WriteBytes(path, Utf8.GetBytes(text));

    /// <summary>Writes a value as JSON, indented by 2 unless the options say otherwise, with a trailing line
    /// break.</summary>
    public static void WriteJson<T>(string path, T value, JsonSerializerOptions? options = null) =>
        WriteText(path, JsonSerializer.Serialize(value, options ?? JsonLayout.Indented) + "\n");

    /// <summary>Writes bytes.</summary>
    public static void WriteBytes(string path, byte[] bytes) => Write(path, file => file.Write(bytes));

    /// <summary>Writes whatever <paramref name="write"/> puts into the stream. The folder is created if it is
    /// missing.</summary>
    /// <exception cref="IOException">The folder or file cannot be written; the old content is unchanged.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        Disk.CreateFolder(Storage.ParentOf(path));
        var aside = AsideOf(path);
        try
        {
            using (var file = new DiskFile(aside, FileMode.CreateNew))
            {
                // Not disposed: after an error, that would write once more.
                var buffer = new BufferedStream(file, BufferBytes);
                write(buffer);
                buffer.Flush();
                file.FlushToDisk();
            }

            Publish(aside, path);
        }
        catch
        {
            Disk.TryDeleteFile(aside);
            throw;
        }
    }

    /// <summary>Copies a file; links are followed.</summary>
    /// <exception cref="IOException">It cannot be read or written.</exception>
    /// <exception cref="InvalidDataException">It is not a regular file.</exception>
    public static void Copy(string from, string to)
    {
        using var source = RegularFile.OpenStream(from);
        Write(to, source.CopyTo);
    }

    /// <summary>A unique temporary name beside the target.</summary>
    internal static string AsideOf(string path) =>
        Path.Combine(Storage.ParentOf(path), $".{Path.GetFileName(path)}.{Guid.NewGuid():N}.tmp");

    /// <summary>Renames a flushed file to its final name and flushes the folder.</summary>
    internal static void Publish(string aside, string path)
    {
        Disk.MoveFile(aside, path);
        Storage.FlushFolder(Storage.ParentOf(path));
    }
}
