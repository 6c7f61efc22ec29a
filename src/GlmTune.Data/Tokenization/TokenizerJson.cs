using System.Text.Json;
using System.Text.Json.Nodes;
using GlmTune.Files;
using GlmTune.Files.Json;

namespace GlmTune.Data.Tokenization;

/// <summary>The format of <c>tokenizer.json</c>: byte-level byte-pair encoding as stored by the tokenizers
/// library.</summary>
internal static class TokenizerJson
{
    /// <summary>Reads ranks and special tokens.</summary>
    /// <exception cref="InvalidDataException">The file is damaged, or is another kind of tokenizer, for which the ids
    /// would be wrong.</exception>
    public static (byte[][] Ranks, Dictionary<string, int> SpecialTokens) Read(string path)
    {
        var root = JsonPlace.ReadObject(path);
        var model = root["model"];
        Expect(path, "model.type", model["type"].Text(), "BPE");
        Expect(path, "normalizer", root.Find("normalizer")?.Value.GetRawText() ?? "null", "null");
        CheckSplit(path, root);

        var special = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var token in root["added_tokens"].Items())
        {
            if (!special.TryAdd(token["content"].Text(), token["id"].Whole()))
            {
                throw new InvalidDataException(
                    $"{path}: '{token.Name}' is the token '{token["content"].Text()}', which occurs twice."
                );
            }
        }

        var ranks = ReadRanks(path, model["vocab"], special);
        CheckMerges(path, model["merges"], ranks);
        return (ranks, special);
    }

    /// <summary>Writes a tokenizer so that transformers and vLLM produce the same ids.</summary>
    /// <exception cref="InvalidDataException">The special tokens do not directly follow the ranks, which the format
    /// cannot represent.</exception>
    public static void Write(Tokenizer tokenizer, string path)
    {
        if (
            !tokenizer
                .Special.All.Values.Order()
                .SequenceEqual(Enumerable.Range(tokenizer.RankCount, tokenizer.Special.All.Count))
        )
        {
            throw new InvalidDataException(
                $"tokenizer.json requires special tokens numbered from {tokenizer.RankCount} without gaps; "
                    + $"these are {string.Join(", ", tokenizer.Special.All.Values.Order())}."
            );
        }

        var tokens = tokenizer.Ranks;
        var names = tokens.Select(ByteAlphabet.Write).ToArray();
        AtomicFile.Write(
            path,
            file =>
            {
                using var json = new Utf8JsonWriter(
                    file,
                    new JsonWriterOptions { Indented = true, Encoder = TokenizerConfig.Writing.Encoder }
                );
                json.WriteStartObject();
                json.WriteString("version", "1.0");
                json.WriteNull("truncation");
                json.WriteNull("padding");
                Property(json, "added_tokens", new JsonArray([.. tokenizer.Special.All.Select(AddedToken)]));
                json.WriteNull("normalizer");
                Property(
                    json,
                    "pre_tokenizer",
                    Sequence(
                        "pretokenizers",
                        Split(),
                        ByteLevel(prefixSpace: false, trimOffsets: true, useRegex: false)
                    )
                );
                Property(
                    json,
                    "post_processor",
                    Sequence(
                        "processors",
                        ByteLevel(prefixSpace: true, trimOffsets: false, useRegex: true),
                        Prefix(tokenizer.Special)
                    )
                );
                Property(json, "decoder", ByteLevel(prefixSpace: true, trimOffsets: true, useRegex: true));
                json.WriteStartObject("model");
                json.WriteString("type", "BPE");
                foreach (
                    var key in (string[])["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"]
                )
                {
                    json.WriteNull(key);
                }

                json.WriteBoolean("fuse_unk", false);
                json.WriteBoolean("byte_fallback", false);
                json.WriteBoolean("ignore_merges", true);
                json.WriteStartObject("vocab");
                for (var rank = 0; rank < names.Length; rank++)
                {
                    json.WriteNumber(names[rank], rank);
                }

                json.WriteEndObject();
                json.WriteStartArray("merges");
                foreach (var (left, right) in MergeList.Of(tokens))
                {
                    // The alphabet has no space, so this older form works with every version of the library.
                    json.WriteStringValue($"{names[left]} {names[right]}");
                }

                json.WriteEndArray();
                json.WriteEndObject();
                json.WriteEndObject();
            }
        );
    }

    private static byte[][] ReadRanks(string path, JsonPlace vocabulary, Dictionary<string, int> special)
    {
        var tokens = vocabulary
            .Properties()
            .Select(token => (Name: token.Key, Id: token.Value.Whole()))
            .Where(token => !special.ContainsKey(token.Name))
            .ToList();
        var ranks = new byte[tokens.Count][];
        foreach (var (name, id) in tokens)
        {
            if ((uint)id >= (uint)ranks.Length || ranks[id] is not null)
            {
                throw new InvalidDataException(
                    $"{path}: the token '{name}' has id {id}; expected each id from 0 to {ranks.Length - 1} "
                        + "exactly once."
                );
            }

            ranks[id] =
                ByteAlphabet.Read(name)
                ?? throw new InvalidDataException(
                    $"{path}: the token '{name}' contains a character that does not represent a byte; only "
                        + "byte-level tokenizers are supported."
                );
        }

        return ranks;
    }

    private static void CheckSplit(string path, JsonPlace root)
    {
        var splitter = root["pre_tokenizer"];
        JsonPlace[] parts = splitter.Find("pretokenizers") is { } list ? [.. list.Items()] : [splitter];
        var split = parts.Where(part => part["type"].Text() == "Split").Take(1).ToList();
        Expect(
            path,
            "pre_tokenizer's Split pattern",
            split.Count == 0 ? "missing" : split[0]["pattern"]["Regex"].Text(),
            PieceSplitter.Pattern
        );
    }

    // Equal merges imply equal ids: the list must be the one that follows from the ranks. Merges that give the same
    // token may be in any order.
    private static void CheckMerges(string path, JsonPlace merges, byte[][] ranks)
    {
        List<(int Left, int Right)> expected;
        try
        {
            expected = MergeList.Of(ranks);
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"{path}: {e.Message}", e);
        }

        if (merges.Items().Count() is var count && count != expected.Count)
        {
            throw new InvalidDataException(
                $"{path}: has {count} merges, but its ids imply {expected.Count}. Only tokenizers whose "
                    + "merges follow from their ids can be read."
            );
        }

        var names = Array.ConvertAll(ranks, ByteAlphabet.Write);
        var place = 0;
        foreach (var merge in merges.Items())
        {
            var (left, right) = expected[place++];
            var found =
                merge.Value.ValueKind == JsonValueKind.Array
                    ? string.Join(' ', merge.Items().Select(part => part.Text()))
                    : merge.Text();
            var joined = names[left] + names[right];
            if (found.Length != joined.Length + 1 || found.Replace(" ", "", StringComparison.Ordinal) != joined)
            {
                throw new InvalidDataException(
                    $"{path}: merge {place} is '{found}'; expected one that yields '{joined}', according to "
                        + "the ids."
                );
            }
        }
    }

    private static JsonNode AddedToken(KeyValuePair<string, int> token)
    {
        var flags = TokenizerConfig.Flags(token.Key);
        flags.Insert(0, "id", token.Value);
        return flags;
    }

    private static JsonObject Split() =>
        new()
        {
            ["type"] = "Split",
            ["pattern"] = new JsonObject { ["Regex"] = PieceSplitter.Pattern },
            ["behavior"] = "Isolated",
            ["invert"] = false,
        };

    private static JsonObject ByteLevel(bool prefixSpace, bool trimOffsets, bool useRegex) =>
        new()
        {
            ["type"] = "ByteLevel",
            ["add_prefix_space"] = prefixSpace,
            ["trim_offsets"] = trimOffsets,
            ["use_regex"] = useRegex,
        };

    private static JsonObject Sequence(string key, params JsonNode[] parts) =>
        new() { ["type"] = "Sequence", [key] = new JsonArray(parts) };

    // Every sequence starts with [gMASK]<sop>.
    private static JsonObject Prefix(SpecialTokens special)
    {
        JsonNode Special(string text) =>
            new JsonObject
            {
                ["SpecialToken"] = new JsonObject { ["id"] = text, ["type_id"] = 0 },
            };
        JsonNode Text(string id, int type) =>
            new JsonObject
            {
                ["Sequence"] = new JsonObject { ["id"] = id, ["type_id"] = type },
            };
        JsonObject Token(string text) =>
            new()
            {
                ["id"] = text,
                ["ids"] = new JsonArray(special.All[text]),
                ["tokens"] = new JsonArray(text),
            };
        return new JsonObject
        {
            ["type"] = "TemplateProcessing",
            ["single"] = new JsonArray(Special("[gMASK]"), Special("<sop>"), Text("A", 0)),
            ["pair"] = new JsonArray(Special("[gMASK]"), Special("<sop>"), Text("A", 0), Text("B", 1)),
            ["special_tokens"] = new JsonObject { ["<sop>"] = Token("<sop>"), ["[gMASK]"] = Token("[gMASK]") },
        };
    }

    private static void Property(Utf8JsonWriter json, string name, JsonNode value)
    {
        json.WritePropertyName(name);
        value.WriteTo(json, TokenizerConfig.Writing);
    }

    private static void Expect(string path, string what, string? found, string expected)
    {
        if (found != expected)
        {
            throw new InvalidDataException(
                $"{path}: {what} is {found}; expected {expected}, as in GLM-4. Another tokenizer would "
                    + "produce wrong ids."
            );
        }
    }
}
