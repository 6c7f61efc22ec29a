namespace GlmTune.Data.Conversations;

/// <summary>One line of a jsonl file.</summary>
/// <param name="Number">From 1.</param>
/// <param name="Text">UTF-8 without the line's end.</param>
public readonly record struct JsonLine(int Number, byte[] Text);

/// <summary>Streams the lines of a jsonl file as they are, without decoding them.</summary>
public static class JsonLines
{
    /// <summary>The lines that are not blank, in order; a byte order mark is left out. Only one line is in memory at a
    /// time.</summary>
    /// <exception cref="InvalidDataException">The file does not exist.</exception>
    public static IEnumerable<JsonLine> Read(string path)
    {
        if (!File.Exists(path))
        {
            throw new InvalidDataException($"{path}: file not found.");
        }

        return Stream(path);
    }

    private static IEnumerable<JsonLine> Stream(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 1);
        var buffer = new byte[1 << 16];
        int start = 0,
            filled = 0,
            number = 0;
        for (var ended = false; !ended; )
        {
            if (start > 0)
            {
                buffer.AsSpan(start, filled - start).CopyTo(buffer);
                (start, filled) = (0, filled - start);
            }

            if (filled == buffer.Length)
            {
                Array.Resize(ref buffer, 2 * buffer.Length);
            }

            var read = file.Read(buffer, filled, buffer.Length - filled);
            var searched = filled;
            filled += read;
            ended = read == 0;
            while (start < filled)
            {
                var newline = Array.IndexOf(buffer, (byte)'\n', searched, filled - searched);
                if (newline < 0 && !ended)
                {
                    break;
                }

                var end = newline < 0 ? filled : newline;
                number++;
                var text = Trim(buffer.AsSpan(start, end - start), first: number == 1);
                start = searched = Math.Min(end + 1, filled);
                if (text.Length > 0)
                {
                    yield return new JsonLine(number, text);
                }
            }
        }
    }

    private static byte[] Trim(ReadOnlySpan<byte> line, bool first)
    {
        if (first && line.StartsWith("\uFEFF"u8))
        {
            line = line[3..];
        }

        return line.Trim(" \t\r"u8).ToArray();
    }
}
