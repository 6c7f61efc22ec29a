using System.Text.Json;

namespace GlmTune.Runs;

/// <summary>Reads a log while it is being written.</summary>
public static class RunLogReader
{
    /// <summary>Maximum bytes read per call, unless a single line is longer.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>Reads the complete lines from an offset on.</summary>
    /// <param name="path">Path of the log.</param>
    /// <param name="from">Offset at which the last call ended; 0: the beginning.</param>
    /// <returns>The lines that are JSON objects. An incomplete last line is left for the next call; a line cut off by a
    /// crash is skipped. A file shorter than <paramref name="from"/> was replaced and is read from its
    /// beginning.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static RunLogPart Read(string path, long from)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var start = from < 0 || from > file.Length ? 0 : from;
        file.Position = start;
        var bytes = new byte[Math.Min(MaxBytes, file.Length - start)];
        var read = file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
        var end = bytes.AsSpan(0, read).LastIndexOf((byte)'\n') + 1;
        while (end == 0 && start + read < file.Length)
        {
            Array.Resize(ref bytes, (int)Math.Min(Array.MaxLength, Math.Min(2L * bytes.Length, file.Length - start)));
            read += file.ReadAtLeast(bytes.AsSpan(read), bytes.Length - read, throwOnEndOfStream: false);
            end = bytes.AsSpan(0, read).LastIndexOf((byte)'\n') + 1;
        }

        return new RunLogPart(Lines(bytes.AsMemory(0, end)), start, start + end, start + end < file.Length && end > 0);
    }

    private static List<JsonElement> Lines(ReadOnlyMemory<byte> bytes)
    {
        var lines = new List<JsonElement>();
        while (bytes.Span.IndexOf((byte)'\n') is >= 0 and var length)
        {
            if (Parse(bytes[..length]) is { } line)
            {
                lines.Add(line);
            }

            bytes = bytes[(length + 1)..];
        }

        return lines;
    }

    private static JsonElement? Parse(ReadOnlyMemory<byte> line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            return document.RootElement.ValueKind == JsonValueKind.Object ? document.RootElement.Clone() : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>Lines read from a log.</summary>
/// <param name="Lines">The objects, in order.</param>
/// <param name="From">Offset of the first line; 0 if the file was replaced.</param>
/// <param name="Next">Offset of the next line.</param>
/// <param name="HasMore">Whether more complete lines may follow immediately.</param>
public sealed record RunLogPart(IReadOnlyList<JsonElement> Lines, long From, long Next, bool HasMore);
