using System.Text.Json;

namespace GlmTune.Inference;

/// <summary>Reads a model's <c>generation_config.json</c>.</summary>
public static class GenerationConfigFile
{
    /// <summary>The file's name in a model's folder.</summary>
    public const string Name = "generation_config.json";

    /// <summary>What the file says; keys that are absent or null stay unsaid, and keys that mean nothing here are
    /// passed over.</summary>
    /// <exception cref="InvalidDataException">It is no JSON object, or values are of a wrong type or out of range: all
    /// of them, a line each.</exception>
    public static GenerationOptions Read(string path)
    {
        var name = Path.GetFileName(path);
        JsonDocument document;
        try
        {
            document = JsonDocument.Parse(
                File.ReadAllBytes(path),
                new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true }
            );
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{name}, line {e.LineNumber + 1}: invalid JSON", e);
        }

        using (document)
        {
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw new InvalidDataException(
                    $"{name}: the file holds "
                        + $"{(document.RootElement.ValueKind == JsonValueKind.Array ? "a list" : "a single value")}; "
                        + "expected an object"
                );
            }

            var values = new Values(document.RootElement);
            var options = Read(values);
            return values.Problems.Count == 0
                ? options
                : throw new InvalidDataException(
                    string.Join('\n', values.Problems.Select(problem => $"{name}: {problem}"))
                );
        }
    }

    /// <summary>The options of a model's folder; nothing said when it has no such file.</summary>
    /// <exception cref="InvalidDataException">As for <see cref="Read(string)"/>.</exception>
    public static GenerationOptions ReadFolder(string folder)
    {
        var path = Path.Combine(folder, Name);
        return File.Exists(path) ? Read(path) : new GenerationOptions();
    }

    private static GenerationOptions Read(Values values) =>
        new()
        {
            MaxNewTokens = values.Whole("max_new_tokens", least: 1),
            MinNewTokens = values.Whole("min_new_tokens"),
            MaxLength = values.Whole("max_length", least: 1),
            DoSample = values.Flag("do_sample"),
            Temperature = values.Number("temperature", "a number above 0", value => value > 0),
            TopP = values.Number("top_p", "a number above 0 and at most 1", value => value is > 0 and <= 1),
            TopK = values.Whole("top_k"),
            RepetitionPenalty = values.Number("repetition_penalty", "a number above 0", value => value > 0),
            NoRepeatNgramSize = values.Whole("no_repeat_ngram_size"),
            NumBeams = values.Whole("num_beams", least: 1),
            LengthPenalty = values.Number("length_penalty", "a number", double.IsFinite),
            EarlyStopping = values.Flag("early_stopping"),
            EosTokenIds = values.TokenIds("eos_token_id"),
            PadTokenId = values.Whole("pad_token_id"),
        };

    private sealed class Values(JsonElement root)
    {
        public List<string> Problems { get; } = [];

        public int? Whole(string key, int least = 0) =>
            Find(key) is not { } value ? null
            : TryWhole(value, least, out var number) ? number
            : Wrong<int?>(key, value, $"a whole number of at least {least}");

        public double? Number(string key, string expected, Predicate<double> fits) =>
            Find(key) is not { } value ? null
            : value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out var number) && fits(number) ? number
            : Wrong<double?>(key, value, expected);

        public bool? Flag(string key) =>
            Find(key) is not { } value ? null
            : value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.GetBoolean()
            : Wrong<bool?>(key, value, "true or false");

        public IReadOnlyList<int>? TokenIds(string key)
        {
            if (Find(key) is not { } value)
            {
                return null;
            }

            var ids = new List<int>();
            foreach (
                var item in value.ValueKind == JsonValueKind.Array
                    ? value.EnumerateArray()
                    : Enumerable.Repeat(value, 1)
            )
            {
                if (!TryWhole(item, 0, out var id))
                {
                    return Wrong<IReadOnlyList<int>>(key, value, "a token id or a list of token ids");
                }

                ids.Add(id);
            }

            return ids;
        }

        private static bool TryWhole(JsonElement value, int least, out int number)
        {
            number = 0;
            if (
                value.ValueKind != JsonValueKind.Number
                || !value.TryGetDouble(out var read)
                || read != Math.Floor(read)
                || read < least
                || read > int.MaxValue
            )
            {
                return false;
            }

            number = (int)read;
            return true;
        }

        private JsonElement? Find(string key) =>
            root.TryGetProperty(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

        private T? Wrong<T>(string key, JsonElement value, string expected)
        {
            Problems.Add($"'{key}' is {value.GetRawText()}; expected {expected}");
            return default;
        }
    }
}
