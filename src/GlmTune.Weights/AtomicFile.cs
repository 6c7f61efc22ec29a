using System.Text;
using System.Text.Json;

namespace GlmTune.Weights;

/// <summary>Writes small files so that a reader finds the old content or the new, never half of one, whenever the
/// process ends.</summary>
/// <remarks>The bytes go to a file of the same name with <c>.tmp</c> added, are flushed to the disk, and the file is
/// renamed.</remarks>
public static class AtomicFile
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    /// <summary>Writes text as UTF-8 without a byte order mark.</summary>
    public static void WriteText(string path, string text) => WriteBytes(path, Utf8.GetBytes(text));

    /// <summary>Writes a value as JSON, indented by 2 unless the options say otherwise, with a line break at the
    /// end.</summary>
    public static void WriteJson<T>(string path, T value, JsonSerializerOptions? options = null) =>
        WriteText(path, JsonSerializer.Serialize(value, options ?? JsonLayout.Indented) + "\n");

    /// <summary>Writes bytes.</summary>
    public static void WriteBytes(string path, ReadOnlySpan<byte> bytes)
    {
        var aside = path + ".tmp";
        using (var handle = File.OpenHandle(aside, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            RandomAccess.Write(handle, bytes, 0);
            RandomAccess.FlushToDisk(handle);
        }

        Publish(aside, path);
    }

    /// <summary>Renames a flushed file into its place and makes the name last.</summary>
    internal static void Publish(string aside, string path)
    {
        File.Move(aside, path, overwrite: true);
        Storage.FlushFolder(Storage.ParentOf(path));
    }
}
