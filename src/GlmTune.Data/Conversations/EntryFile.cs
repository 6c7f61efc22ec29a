using GlmTune.Files;

namespace GlmTune.Data.Conversations;

/// <summary>The entries of a data file, whatever its extension: a JSON array, one object per line, or objects over
/// several lines.</summary>
internal static class EntryFile
{
    /// <summary>Streams the entries; only one is in memory at a time.</summary>
    /// <exception cref="InvalidDataException">The file does not exist or is of another kind, or an array is not
    /// closed.</exception>
    public static IEnumerable<FileEntry> Read(string path)
    {
        JsonLines.RequireFile(path);
        var beginning = Beginning(path);
        if (OtherKind(beginning) is { } kind)
        {
            throw new InvalidDataException($"{path}: {kind}");
        }

        if (new FileInfo(path).Length > 0)
        {
            FileContent.Check(path);
        }

        return IsArray(path) ? ArrayEntries.Read(path) : ObjectEntries.Read(path);
    }

    private static byte[] Beginning(string path)
    {
        using var file = RegularFile.OpenStream(path);
        var bytes = new byte[512];
        return bytes[..file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
    }

    private static string? OtherKind(ReadOnlySpan<byte> beginning) =>
        beginning.StartsWith("PAR1"u8)
            ? "is a Parquet file; expected JSON. Export it as JSON Lines (in pandas: to_json(…, orient='records', "
                + "lines=True, force_ascii=False))."
        : beginning.StartsWith((ReadOnlySpan<byte>)[0x1F, 0x8B])
            ? "is compressed with gzip; expected JSON. Unpack it (gunzip)."
        : beginning.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xFE])
        || beginning.StartsWith((ReadOnlySpan<byte>)[0xFE, 0xFF])
            ? "is UTF-16; expected UTF-8. Save the file as UTF-8."
        : beginning.StartsWith("PK\x3\x4"u8) ? "is a zip archive or an Excel file; expected JSON. Unpack or export it."
        : null;

    private static bool IsArray(string path)
    {
        using var file = RegularFile.OpenStream(path);
        int next;
        do
        {
            next = file.ReadByte();
        } while (next is ' ' or '\t' or '\r' or '\n' or 0xEF or 0xBB or 0xBF);
        return next == '[';
    }
}
