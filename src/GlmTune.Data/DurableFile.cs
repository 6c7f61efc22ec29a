namespace GlmTune.Data;

/// <summary>Writes a whole file or nothing: aside, flushed to the disk, then renamed.</summary>
internal static class DurableFile
{
    /// <summary>Replaces <paramref name="path"/>, whose folder is made if it is not there, with what
    /// <paramref name="write"/> writes.</summary>
    public static void Write(string path, Action<Stream> write)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        Directory.CreateDirectory(folder);
        var aside = Path.Combine(folder, $".{Path.GetFileName(path)}.{Guid.NewGuid():N}.tmp");
        try
        {
            using (var file = new FileStream(aside, FileMode.CreateNew, FileAccess.Write))
            {
                write(file);
                file.Flush(flushToDisk: true);
            }

            File.Move(aside, path, overwrite: true);
        }
        catch
        {
            File.Delete(aside);
            throw;
        }
    }
}
