using GlmTune.Files;

namespace GlmTune.Data.Conversations;

/// <summary>One line of a JSON Lines file.</summary>
/// <param name="Number">Line number, from 1.</param>
/// <param name="Text">The line as UTF-8 without its line break; only the beginning of a line that is too long.</param>
/// <param name="IsTooLong">Whether the line is longer than <see cref="JsonLines.MaxBytes"/>.</param>
internal readonly record struct JsonLine(int Number, byte[] Text, bool IsTooLong = false);

/// <summary>Streams the raw lines of a JSON Lines file.</summary>
internal static class JsonLines
{
    /// <summary>Maximum size of a row: 16 MiB.</summary>
    public const int MaxBytes = 16 << 20;

    /// <summary>The non-blank lines in order, without a byte order mark. Only one line is in memory at a time, and only
    /// the beginning of a line that is too long.</summary>
    /// <exception cref="InvalidDataException">The file does not exist.</exception>
    public static IEnumerable<JsonLine> Read(string path)
    {
        RequireFile(path);
        return Stream(path);
    }

    /// <exception cref="InvalidDataException">The file does not exist.</exception>
    internal static void RequireFile(string path)
    {
        if (Directory.Exists(path))
        {
            throw new InvalidDataException($"{path}: is a folder; expected a data file.");
        }

        if (!File.Exists(path))
        {
            throw new InvalidDataException($"{path}: file not found.");
        }
    }

    private static IEnumerable<JsonLine> Stream(string path)
    {
        using var file = RegularFile.OpenStream(path, bufferSize: 1);
        var buffer = new byte[1 << 16];
        var line = new MemoryStream();
        var (number, isTooLong) = (1, false);
        for (var ended = false; !ended;)
        {
            var filled = file.Read(buffer);
            ended = filled == 0;
            var start = 0;
            while (start < filled)
            {
                var newline = Array.IndexOf(buffer, (byte)'\n', start, filled - start);
                var end = newline < 0 ? filled : newline;
                var kept = (int)Math.Min(end - start, MaxBytes + 1 - line.Length);
                isTooLong |= kept < end - start;
                line.Write(buffer, start, kept);
                start = end + 1;
                if (newline < 0)
                {
                    break;
                }

                if (Take(line, number++, isTooLong) is { Text.Length: > 0 } whole)
                {
                    yield return whole;
                }

                isTooLong = false;
            }
        }

        if (Take(line, number, isTooLong) is { Text.Length: > 0 } last)
        {
            yield return last;
        }
    }

    private static JsonLine Take(MemoryStream line, int number, bool isTooLong)
    {
        ReadOnlySpan<byte> text = line.GetBuffer().AsSpan(0, (int)line.Length);
        if (number == 1 && text.StartsWith("\uFEFF"u8))
        {
            text = text[3..];
        }

        text = text.Trim(" \t\r"u8);
        var tooLong = isTooLong || text.Length > MaxBytes;
        var taken = new JsonLine(number, (tooLong ? text[..Math.Min(text.Length, 1 << 10)] : text).ToArray(), tooLong);
        line.SetLength(0);
        if (line.Capacity > 1 << 20)
        {
            line.Capacity = 0;
        }

        return taken;
    }
}
