using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using GlmTune.Files;
using GlmTune.Files.Json;
using Microsoft.Win32.SafeHandles;

namespace GlmTune.Runs;

/// <summary>Reads a log while it is being written.</summary>
internal static class RunLogReader
{
    /// <summary>Maximum bytes read per call, unless a single line is longer.</summary>
    public const int MaxBytes = 1 << 20;

    /// <summary>The longest line that is read, in bytes; longer ones are skipped.</summary>
    public const int MaxLineBytes = 16 << 20;

    /// <summary>Maximum number of lines read per call.</summary>
    public const int MaxLines = 10_000;

    // Bytes of a line that is too long that one call skips.
    private const long MaxSkippedBytes = 256L << 20;

    // What is read is embedded in other values when written, and JsonNode writes at most 64 levels.
    private const int MaxDepth = 32;

    /// <summary>Reads the complete lines from an offset on.</summary>
    /// <param name="path">Path of the log.</param>
    /// <param name="from">Offset at which the last call ended; 0: the beginning.</param>
    /// <returns>The lines that are JSON objects. An incomplete last line is left for the next call; damaged lines, such
    /// as one cut off by a crash, are skipped and reported. A file shorter than <paramref name="from"/> was replaced
    /// and is read from its beginning.</returns>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">It is not a regular file.</exception>
    public static RunLogPart Read(string path, long from)
    {
        using var file = RegularFile.Open(path);
        return Read(file, from);
    }

    /// <summary>Reads the complete lines of an opened log from an offset on.</summary>
    /// <inheritdoc cref="Read(string, long)"/>
    internal static RunLogPart Read(SafeFileHandle file, long from)
    {
        var length = RandomAccess.GetLength(file);
        var start = from < 0 || from > length ? 0 : from;
        var bytes = new byte[Math.Min(MaxBytes, length - start)];
        var read = RegularFile.Read(file, bytes, start);
        var end = bytes.AsSpan(0, read).LastIndexOf((byte)'\n') + 1;
        while (end == 0 && read == bytes.Length && read < MaxLineBytes && start + read < length)
        {
            Array.Resize(ref bytes, (int)Math.Min(MaxLineBytes, Math.Min(2L * bytes.Length, length - start)));
            var more = RegularFile.Read(file, bytes.AsSpan(read), start + read);
            var at = bytes.AsSpan(read, more).LastIndexOf((byte)'\n');
            end = at < 0 ? 0 : read + at + 1;
            read += more;
        }

        if (end == 0 && read >= MaxLineBytes)
        {
            var next = SkipLine(file, start, length);
            return new RunLogPart([], start, next, next < length)
            {
                Problem = $"A line at byte {start} is longer than {MaxLineBytes >> 20} MiB and was skipped.",
            };
        }

        var (lines, used, problem) = Lines(bytes.AsMemory(0, end), start);
        return new RunLogPart(lines, start, start + used, start + used < length && used > 0) { Problem = problem };
    }

    // The offset after the next line end, or that up to which there is none.
    private static long SkipLine(SafeFileHandle file, long start, long length)
    {
        var piece = new byte[MaxBytes];
        var last = Math.Min(length, start + MaxSkippedBytes);
        while (start < last && RegularFile.Read(file, piece, start) is > 0 and var read)
        {
            if (piece.AsSpan(0, read).IndexOf((byte)'\n') is >= 0 and var end)
            {
                return start + end + 1;
            }

            start += read;
        }

        return start;
    }

    private static (List<JsonElement> Lines, int Used, string? Problem) Lines(ReadOnlyMemory<byte> bytes, long start)
    {
        var lines = new List<JsonElement>();
        var (used, taken, damaged) = (0, 0, 0);
        var first = "";
        while (taken < MaxLines && bytes.Span[used..].IndexOf((byte)'\n') is >= 0 and var length)
        {
            var text = bytes.Slice(used, length);
            if (!text.Span.Trim(" \t\r"u8).IsEmpty)
            {
                taken++;
                if (IsObject(text, out var line, out var fault))
                {
                    lines.Add(line);
                }
                else if (damaged++ == 0)
                {
                    first = $"at byte {start + used}: {fault?.Text ?? "expected an object."}";
                }
            }

            used += length + 1;
        }

        return (
            lines,
            used,
            damaged switch
            {
                0 => null,
                1 => $"A damaged line was skipped, {first}",
                _ => $"{damaged} damaged lines were skipped, the first {first}",
            }
        );
    }

    private static bool IsObject(
        ReadOnlyMemory<byte> text,
        [NotNullWhen(true)] out JsonElement line,
        out JsonFault? fault
    )
    {
        fault = JsonFile.TryParse(text, out line, MaxDepth);
        return fault is null && line.ValueKind == JsonValueKind.Object;
    }
}

/// <summary>Lines read from a log.</summary>
/// <param name="Lines">The objects, in order.</param>
/// <param name="From">Offset of the first line; 0 if the file was replaced.</param>
/// <param name="Next">Offset of the next line.</param>
/// <param name="HasMore">Whether more complete lines may follow immediately.</param>
internal sealed record RunLogPart(IReadOnlyList<JsonElement> Lines, long From, long Next, bool HasMore)
{
    /// <summary>What was skipped and why, in a sentence; null if nothing was.</summary>
    public string? Problem { get; init; }
}
