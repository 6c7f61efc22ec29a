using System.Text.Json;
using System.Text.Unicode;
using GlmTune.Files.Json;

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
        if (!Utf8.IsValid(utf8))
        {
            AddFault(utf8, source, problems);
            return null;
        }

        try
        {
            var reader = new Utf8JsonReader(utf8, Lenient);
            reader.Read();
            var root = Node(ref reader, utf8, source, problems);
            reader.Read(); // nothing may follow the value
            return root;
        }
        catch (JsonException)
        {
            AddFault(utf8, source, problems);
            return null;
        }
        catch (InvalidOperationException)
        {
            problems.Add(new SourceLine(source, 1), "invalid JSON: a string is not valid Unicode");
            return null;
        }
    }

    // The strict reader says in words what is wrong; it must not see what is allowed here.
    private static void AddFault(ReadOnlySpan<byte> utf8, string source, Problems problems)
    {
        var strict = WithoutLeniencies(utf8);
        var fault = JsonFile.Find(strict) ?? new JsonFault(0, "it cannot be read as JSON.");
        problems.Add(new SourceLine(source, fault.PlaceIn(strict).Line), $"invalid JSON: {fault.Text.TrimEnd('.')}");
    }

    // With blanks for comments and for commas before a closing bracket.
    private static byte[] WithoutLeniencies(ReadOnlySpan<byte> utf8)
    {
        var text = utf8.ToArray();
        var comma = -1;
        for (var at = 0; at < text.Length; at++)
        {
            switch (text[at])
            {
                case (byte)'"':
                    for (at++; at < text.Length && text[at] != '"'; at++)
                    {
                        at += text[at] == '\\' ? 1 : 0;
                    }

                    comma = -1;
                    break;
                case (byte)'/' when at + 1 < text.Length && text[at + 1] is (byte)'/' or (byte)'*':
                    var rest = text.AsSpan(at);
                    var end = text[at + 1] == '/' ? rest.IndexOf((byte)'\n') : rest[2..].IndexOf("*/"u8);
                    end =
                        end < 0 ? rest.Length
                        : text[at + 1] == '/' ? end
                        : end + 4;
                    foreach (ref var each in rest[..end])
                    {
                        each = each == '\n' ? each : (byte)' ';
                    }

                    at += end - 1;
                    break;
                case (byte)',':
                    comma = at;
                    break;
                case (byte)'}' or (byte)']' when comma >= 0:
                    text[comma] = (byte)' ';
                    comma = -1;
                    break;
                case (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n':
                    break;
                default:
                    comma = -1;
                    break;
            }
        }

        return text;
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
