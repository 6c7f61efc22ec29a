using System.Text.Json;

namespace GlmTune.Runs;

/// <summary>Reads a log while it grows.</summary>
public static class RunLogReader
{
    /// <summary>Bytes that one call reads, at most, unless a single line is longer.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>Reads the whole lines from a place in the file on.</summary>
    /// <param name="path">The log.</param>
    /// <param name="from">Where the last call ended; 0 for the beginning.</param>
    /// <returns>The lines that are JSON objects. A line that is not yet whole waits for the next call; one that was cut
    /// off by a crash is passed over. A file shorter than <paramref name="from"/> is another one, and is read from its
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

/// <summary>Some lines of a log.</summary>
/// <param name="Lines">Objects, in their order.</param>
/// <param name="From">Where they begin; 0 though another place was asked for when the file was replaced.</param>
/// <param name="Next">Where the next lines begin.</param>
/// <param name="HasMore">Whether whole lines may follow at once.</param>
public sealed record RunLogPart(IReadOnlyList<JsonElement> Lines, long From, long Next, bool HasMore);
