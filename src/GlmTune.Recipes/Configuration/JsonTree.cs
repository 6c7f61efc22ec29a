using System.Text.Json;

namespace GlmTune.Recipes.Configuration;

/// <summary>Reads a JSON document into a tree with locations; comments and trailing commas are allowed.</summary>
internal static class JsonTree
{
    private static readonly JsonReaderOptions Lenient = new()
    {
        CommentHandling = JsonCommentHandling.Skip,
        AllowTrailingCommas = true,
        MaxDepth = 64,
    };

    /// <summary>The root of the document; null, with a problem reported, if it cannot be read.</summary>
    public static ConfigNode? Read(ReadOnlySpan<byte> utf8, string source, Problems problems)
    {
        utf8 = utf8.StartsWith("\uFEFF"u8) ? utf8[3..] : utf8;
        try
        {
            var reader = new Utf8JsonReader(utf8, Lenient);
            reader.Read();
            var root = Node(ref reader, utf8, source, problems);
            reader.Read(); // nothing may follow the value
            return root;
        }
        catch (JsonException e)
        {
            var text = e.Message.Split(" LineNumber:")[0].Split(" Path:")[0].TrimEnd('.');
            problems.Add(new SourceLine(source, (int)(e.LineNumber ?? 0) + 1), $"invalid JSON: {text}");
            return null;
        }
        catch (InvalidOperationException)
        {
            problems.Add(new SourceLine(source, 1), "invalid JSON: a string is not valid Unicode");
            return null;
        }
    }

    private static SourceLine At(in Utf8JsonReader reader, ReadOnlySpan<byte> utf8, string source) =>
        new(source, 1 + utf8[..(int)reader.TokenStartIndex].Count((byte)'\n'));

    private static ConfigNode Node(ref Utf8JsonReader reader, ReadOnlySpan<byte> utf8, string source, Problems problems)
    {
        var at = At(reader, utf8, source);
        switch (reader.TokenType)
        {
            case JsonTokenType.StartObject:
                var map = new ConfigMap(at);
                while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
                {
                    var (key, keyAt) = (reader.GetString()!, At(reader, utf8, source));
                    reader.Read();
                    var value = Node(ref reader, utf8, source, problems);
                    if (map.Find(key) is { } first)
                    {
                        problems.Add(keyAt, $"duplicate key '{key}'; first on line {first.At.Line}");
                    }
                    else
                    {
                        map.Set(new ConfigEntry(key, keyAt, value));
                    }
                }

                return map;
            case JsonTokenType.StartArray:
                var items = new List<ConfigNode>();
                while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                {
                    items.Add(Node(ref reader, utf8, source, problems));
                }

                return new ConfigList(items, at);
            case JsonTokenType.String:
                return new ConfigText(reader.GetString()!, true, at);
            default:
                return new ConfigText(System.Text.Encoding.UTF8.GetString(reader.ValueSpan), false, at);
        }
    }
}
