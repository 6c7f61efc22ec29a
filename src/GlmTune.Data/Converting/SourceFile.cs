using System.Text.Json;
using GlmTune.Data.Conversations;

namespace GlmTune.Data.Converting;

/// <summary>The entries of a data file of another shape: a JSON array, or one object a line, whatever its name ends
/// with.</summary>
internal static class SourceFile
{
    /// <summary>Each entry's JSON and the line it begins on.</summary>
    /// <exception cref="InvalidDataException">The file does not exist, or an array's JSON is damaged.</exception>
    public static IEnumerable<JsonLine> Read(string path)
    {
        using var lines = JsonLines.Read(path).GetEnumerator();
        if (!lines.MoveNext() || lines.Current.Text[0] != (byte)'[')
        {
            return JsonLines.Read(path);
        }

        return Array(path);
    }

    private static List<JsonLine> Array(string path)
    {
        var bytes = File.ReadAllBytes(path);
        var content = bytes.AsSpan(bytes.AsSpan().StartsWith("\uFEFF"u8) ? 3 : 0);
        var entries = new List<JsonLine>();
        var (line, counted) = (1, 0);
        try
        {
            var json = new Utf8JsonReader(content, new JsonReaderOptions { MaxDepth = 512 });
            json.Read();
            while (json.Read() && json.TokenType != JsonTokenType.EndArray)
            {
                var start = (int)json.TokenStartIndex;
                line += content[counted..start].Count((byte)'\n');
                counted = start;
                json.Skip();
                entries.Add(new JsonLine(line, content[start..(int)json.BytesConsumed].ToArray()));
            }
        }
        catch (JsonException e)
        {
            throw new InvalidDataException(
                $"{path}, line {e.LineNumber + 1}: not valid JSON. Expected an array of objects, or one "
                    + "object per line.",
                e
            );
        }

        return entries;
    }
}
